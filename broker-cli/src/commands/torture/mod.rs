//! `broker torture`.

mod ground;
mod member;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_testkit::torture::{Forgetful, Progress, Rig, Torture as Plan};
use clap::Args;

use crate::exit::{Exit, Stop};
use crate::session::Session;
use ground::Ground;
pub(crate) use member::TortureMember;
use report::Report;

/// Between two lines that tell how far a run is.
const TELL: Duration = Duration::from_secs(5);

/// Publish and consume while consumers, connections and the server fail at random, and tell what was lost.
#[derive(Args)]
pub(crate) struct Torture {
    /// Start a server of its own for this provider, to be killed and paused; without it, the configured broker is used
    /// and its server is left alone.
    #[arg(long, value_name = "PROVIDER", conflicts_with_all = ["config", "broker", "url"])]
    private: Option<String>,
    /// A setting of the broker for this run, such as partitions=4; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// How many messages are stored; the default is 10000 where no time is given.
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// How long to publish, such as 5 or 0.5; with --messages, these are spread over the time.
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<Duration>,
    /// How many messages are published a second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// The same seed makes the same choices again; the default is a new one.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How many tasks publish.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    publishers: u32,
    /// How many processes consume.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    consumers: u8,
    /// How many keys the messages have.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Keep what the consumer processes wrote down and logged in this folder, which is made; see --log.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Write what was found to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Torture {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let mut plan = Plan::new(self.seed.unwrap_or_else(new_seed));
        plan.messages = self.messages;
        plan.duration = self.minutes;
        plan.rate = self.rate;
        plan.publishers = self.publishers;
        plan.consumers = usize::from(self.consumers);
        plan.keys = self.keys;
        plan.keep = self.keep.clone();

        let ground = Ground::of(session, self.private.as_deref(), &self.set).await?;
        let broker = ground.broker.clone();
        broker.ensure_connection().await?;
        let mut rig = Rig::new(broker.clone(), ground.member());
        rig.server = ground.server.as_ref().map(Arc::clone);
        rig.proxy = ground.proxy.as_ref().map(Arc::clone);
        if broker.provider() == "rabbitmq" {
            // The protocol has no answer to an ack: what the server had not yet written down when it was killed comes again.
            // A connection that went silent is noticed by its heartbeat.
            rig.forgetful = Some(Forgetful {
                written: Duration::from_secs(1),
                answered: Duration::ZERO,
                unnoticed: Duration::from_secs(5),
            });
        }
        // A server of the protocol has no word for refusing with a delay, so that a copy is written first.
        rig.copies = broker.provider() == "rabbitmq";
        if broker.provider() == "kafka" {
            // Positions are committed each `commit_interval`, which leaves some time for the answer. A group whose members
            // are counted anew takes no commits; acks wait for one after a second. A connection that went silent is noticed
            // after `response_timeout`.
            rig.forgetful = Some(Forgetful {
                written: Duration::from_secs(1),
                answered: Duration::from_secs(1),
                unnoticed: Duration::from_secs(3),
            });
            rig.positions = ground.positions.as_ref().map(Arc::clone);
            rig.rebalances = true;
        }
        if !session.is_json() {
            for line in ground.notes() {
                session.line(line)?;
            }
            session.line(format_args!("seed {}, stream {}", plan.seed, plan.stream))?;
        }
        let (began, mut told) = (Instant::now(), Instant::now());
        let tell = |progress: Progress| {
            if !session.is_json() && told.elapsed() >= TELL {
                told = Instant::now();
                // Where nobody reads on, the findings say so.
                let _gone = session.line(format_args!(
                    "{:>5} s: {} stored, {} settled, {} faults",
                    began.elapsed().as_secs(),
                    progress.stored,
                    progress.settled,
                    progress.faults
                ));
            }
        };
        let findings = plan.run(rig, tell).await;
        let server = ground.server_version().await;
        let closed = broker.close().await;
        let findings = findings?;
        let settings = self.set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let report = Report {
            server,
            private: self.private.is_some(),
            settings: settings.collect(),
            publishers: self.publishers,
            consumers: self.consumers,
            keys: self.keys,
            findings: &findings,
        };
        if session.is_json() {
            session.object(&report)?;
        } else {
            session.line(&findings)?;
        }
        if let Some(file) = &self.report {
            report.write(file)?;
        }
        closed?;
        if findings.is_good() {
            Ok(())
        } else {
            Err(Stop::quietly(Exit::Failure))
        }
    }
}

/// A number that differs from run to run and is easily typed.
fn new_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() ^ u64::from(std::process::id()))
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| *minutes > 0.0);
    minutes
        .and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok())
        .ok_or_else(|| "write a number of minutes above zero, such as 5 or 0.5".to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
