//! One process that handles messages.

use std::io;
use std::time::Duration;

use broker_core::Brokers;
use broker_core::config::Config;
use broker_engine::{Engine, EngineHandle, Receipt};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Server;
use super::counts::Counts;
use super::pulse::Pulse;
use super::signals::Signals;
use super::telemetry::Telemetry;
use crate::exit::{Exit, Stop};
use crate::session::Session;

/// Between two looks at what others may ask for.
const BEAT: Duration = Duration::from_secs(2);

pub(super) async fn run(server: &Server, session: &mut Session<'_, '_>) -> Result<(), Stop> {
    let mut ends = Ends::new(server.worker.is_some())?;
    let pulse = Pulse::default();
    let telemetry = Telemetry::start(server, &pulse).await?;
    session.log().of_service(telemetry.spans());
    let brokers = Brokers::open(&config(server, session)?)?;
    let mut app = telemetry.observe(session.app().clone());
    if let Some(drain) = server.drain {
        app = app.drain_timeout(drain);
    }
    let engine = tokio::select! {
        engine = app.on(brokers.clone()).start() => engine?,
        () = ends.next() => return Ok(brokers.close().await?),
    };
    pulse.ready();
    let service = Service {
        server,
        brokers: &brokers,
        pulse: &pulse,
        telemetry: &telemetry,
        began: Instant::now(),
    };
    let ended = service.run(engine, &mut ends, session).await;
    telemetry.end(ended.as_ref().ok(), server.drain).await;
    let receipt = ended?;
    if receipt.drained {
        Ok(())
    } else {
        Err(Stop::quietly(Exit::Failure))
    }
}

/// The configuration; several processes of one host are several consumers.
fn config(server: &Server, session: &Session<'_, '_>) -> Result<Config, Stop> {
    let mut config = session.config()?;
    let Some(worker) = server.worker else {
        return Ok(config);
    };
    let all: Vec<_> = config
        .iter()
        .map(|(name, settings)| (name.to_owned(), settings.clone()))
        .collect();
    for (name, mut settings) in all {
        let base = settings.text("consumer").map_or_else(host, str::to_owned);
        settings.set("consumer", format!("{base}-{worker}"), None);
        config = config.with(name, settings);
    }
    Ok(config)
}

/// The name of this machine, as far as it can be part of a consumer's name.
pub(super) fn host() -> String {
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let host = host.unwrap_or_else(|_| "localhost".to_owned());
    host.trim().chars().filter(|c| plain(*c)).take(100).collect()
}

/// A running service and what is told of it.
struct Service<'a> {
    server: &'a Server,
    brokers: &'a Brokers,
    pulse: &'a Pulse,
    telemetry: &'a Telemetry,
    began: Instant,
}

impl Service<'_> {
    async fn run(
        &self,
        engine: Engine,
        ends: &mut Ends,
        session: &mut Session<'_, '_>,
    ) -> Result<Receipt, Stop> {
        let (handle, plan) = (engine.handle(), engine.plan());
        if self.server.worker.is_some() {
            session.object(&json!({ "ready": true }))?;
        } else if session.is_json() {
            session.object(&json!({ "plan": plan }))?;
        } else {
            session.line(format_args!(
                "{plan}\nrunning; a signal stops it, a second one cuts handlers off"
            ))?;
        }
        let every = self.server.progress;
        let (mut beat, mut tell) = (ticks(BEAT), ticks(if every.is_zero() { BEAT } else { every }));
        let mut told = (Instant::now(), 0);
        let mut ending = std::pin::pin!(engine.wait());
        let receipt = loop {
            tokio::select! {
                receipt = &mut ending => break receipt?,
                () = ends.next() => self.stop(&handle),
                _ = beat.tick() => {
                    let page = self.telemetry.page(self.brokers, &plan, &handle.receipt()).await;
                    if self.server.worker.is_some() {
                        let line = json!({ "progress": handle.receipt(), "metrics": page });
                        if session.object(&line).is_err() {
                            // The parent is gone.
                            handle.stop();
                        }
                    } else {
                        self.pulse.set_metrics(page);
                    }
                }
                _ = tell.tick(), if self.server.worker.is_none() && !every.is_zero() => {
                    self.tell(&handle, &mut told, session)?;
                }
            }
        };
        if self.server.worker.is_some() || session.is_json() {
            session.object(&json!({ "receipt": receipt }))?;
        } else {
            session.line(counts(&receipt)?.line())?;
        }
        Ok(receipt)
    }

    /// Once in order, twice at once.
    fn stop(&self, handle: &EngineHandle) {
        if self.pulse.stops() {
            handle.abort();
        } else {
            handle.stop();
        }
    }

    fn tell(
        &self,
        handle: &EngineHandle,
        told: &mut (Instant, u64),
        session: &mut Session<'_, '_>,
    ) -> Result<(), Stop> {
        let receipt = handle.receipt();
        if session.is_json() {
            return Ok(session.object(&json!({ "progress": receipt }))?);
        }
        let (now, counts) = (Instant::now(), counts(&receipt)?);
        let line = progress_line(self.began, *told, now, &counts);
        *told = (now, counts.settled);
        Ok(session.line(line)?)
    }
}

/// One line of progress, with the rate since the one before.
pub(super) fn progress_line(began: Instant, told: (Instant, u64), now: Instant, counts: &Counts) -> String {
    let millis = (now - told.0).as_millis().max(1);
    let rate = u128::from(counts.settled.saturating_sub(told.1)) * 1_000 / millis;
    format!("{:>6} s: {}, {rate}/s", (now - began).as_secs(), counts.line())
}

fn counts(receipt: &Receipt) -> Result<Counts, Stop> {
    let value = serde_json::to_value(receipt).map_err(io::Error::from)?;
    Ok(serde_json::from_value(value).map_err(io::Error::from)?)
}

pub(super) fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once.
    ticks.reset();
    ticks
}

/// What asks this process to end: signals, and for a worker the end of its parent.
struct Ends {
    signals: Signals,
    parent: Option<tokio::task::JoinHandle<()>>,
}

impl Ends {
    fn new(is_worker: bool) -> io::Result<Self> {
        let parent = is_worker.then(|| {
            tokio::spawn(async {
                let (mut input, mut nothing) = (tokio::io::stdin(), [0; 16]);
                while input.read(&mut nothing).await.is_ok_and(|count| count > 0) {}
            })
        });
        Ok(Self {
            signals: Signals::new()?,
            parent,
        })
    }

    async fn next(&mut self) {
        let Some(parent) = &mut self.parent else {
            return self.signals.next().await;
        };
        tokio::select! {
            () = self.signals.next() => {}
            _ = parent => self.parent = None,
        }
    }
}
