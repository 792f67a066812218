//! Several worker processes, looked after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Server;
use super::child::{News, Spec};
use super::counts::Counts;
use super::pages;
use super::pulse::Pulse;
use super::signals::Signals;
use super::single::{progress_line, ticks};
use super::telemetry::Telemetry;
use crate::exit::{Exit, Stop};
use crate::session::Session;

/// The wait before a worker that ended is started again; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A worker that ran so long is well: its next end is its first.
const STEADY: Duration = Duration::from_secs(60);

/// Runs `workers` processes until a signal; their receipts add up.
pub(super) async fn run(server: &Server, workers: u16, session: &mut Session<'_, '_>) -> Result<(), Stop> {
    let mut signals = Signals::new()?;
    let pulse = Pulse::default();
    let _telemetry = Telemetry::serve(server.listen, &pulse).await?;
    let spec = spec(server, session)?;
    let (stop, stops) = watch::channel(0);
    let (sender, mut news) = mpsc::channel(64);
    let mut kept = JoinSet::new();
    for number in 1..=workers {
        kept.spawn(keep(spec.clone(), number, stops.clone(), sender.clone()));
    }
    drop(sender);
    let mut crew = Crew::new(workers, pulse);
    let every = server.progress;
    let mut tell = ticks(if every.is_zero() { LONGEST_WAIT } else { every });
    let (began, mut told) = (Instant::now(), (Instant::now(), 0));
    loop {
        tokio::select! {
            one = news.recv() => match one {
                Some((number, one)) => {
                    if let Some(line) = crew.hear(number, one) {
                        session.complain(line);
                    }
                    if crew.refused.is_some() && *stop.borrow() == 0 {
                        stop.send_replace(1);
                    }
                }
                None => break,
            },
            () = signals.next() => {
                crew.pulse.stops();
                stop.send_modify(|stops| *stops += 1);
            }
            _ = tell.tick(), if !every.is_zero() => {
                let counts = crew.total();
                if session.is_json() {
                    session.object(&json!({ "progress": counts, "workers": crew.ready.len(), "restarts": crew.restarts }))?;
                } else {
                    let now = Instant::now();
                    session.line(format_args!(
                        "{} ({} of {workers} workers, {} restarts)",
                        progress_line(began, told, now, &counts), crew.ready.len(), crew.restarts
                    ))?;
                    told = (now, counts.settled);
                }
            }
        }
    }
    crew.end(session)
}

/// The command line of a worker: this program, the same broker, one process.
fn spec(server: &Server, session: &Session<'_, '_>) -> Result<Spec, Stop> {
    let program = std::env::current_exe()
        .map_err(|error| Stop::failure(format_args!("this program's own path is not known: {error}")))?;
    let mut arguments = session.for_child();
    arguments.extend(["server".into(), "--progress".into(), "0s".into()]);
    if let Some(drain) = server.drain {
        arguments.extend([
            "--drain".into(),
            humantime::format_duration(drain).to_string().into(),
        ]);
    }
    if let Some(collector) = &server.otlp {
        arguments.extend(["--otlp".into(), collector.into()]);
    }
    Ok(Spec { program, arguments })
}

/// Keeps one worker running until it is to stop.
async fn keep(spec: Spec, number: u16, mut stops: watch::Receiver<u32>, news: mpsc::Sender<(u16, News)>) {
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        let ended = spec.run(number, &mut stops, &news).await;
        let (line, code) = match ended {
            Ok(status) => (status.to_string(), status.code()),
            Err(error) => (error.to_string(), None),
        };
        let usage = i32::from(Exit::Usage as u8);
        let heard = match code {
            Some(code) if code == usage => News::Refused(code),
            _ => News::Ended(line),
        };
        let refused = matches!(heard, News::Refused(_));
        // Whoever listens ends last.
        let _gone = news.send((number, heard)).await;
        if refused || *stops.borrow() > 0 {
            return;
        }
        if began.elapsed() >= STEADY {
            wait = FIRST_WAIT;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stops.changed() => return,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// What is known of the workers.
struct Crew {
    workers: u16,
    pulse: Pulse,
    ready: BTreeSet<u16>,
    /// What those that run did so far.
    running: BTreeMap<u16, Counts>,
    /// What those that ended did.
    done: Counts,
    pages: BTreeMap<u16, String>,
    restarts: u64,
    stopped: BTreeSet<u16>,
    refused: Option<i32>,
}

impl Crew {
    fn new(workers: u16, pulse: Pulse) -> Self {
        Self {
            workers,
            pulse,
            ready: BTreeSet::new(),
            running: BTreeMap::new(),
            done: Counts::nothing(),
            pages: BTreeMap::new(),
            restarts: 0,
            stopped: BTreeSet::new(),
            refused: None,
        }
    }

    /// Takes note; answers a line for people where something went wrong.
    fn hear(&mut self, number: u16, news: News) -> Option<String> {
        match news {
            News::Ready => {
                self.ready.insert(number);
                self.stopped.remove(&number);
            }
            News::Progress(counts) => {
                self.running.insert(number, counts);
            }
            News::Page(page) => {
                self.pages.insert(number, page);
                self.pulse.set_metrics(pages::join(
                    self.pages.iter().map(|(number, page)| (*number, page.as_str())),
                ));
            }
            News::Receipt(counts) => {
                self.running.remove(&number);
                self.done.add(&counts);
                self.stopped.insert(number);
            }
            News::Ended(how) => {
                self.ready.remove(&number);
                let in_order = self.stopped.remove(&number);
                if !in_order {
                    // It left no receipt: what it told last is what is known.
                    let mut last = self.running.remove(&number).unwrap_or_default();
                    last.drained = !self.pulse.is_stopping();
                    self.done.add(&last);
                }
                if self.pulse.is_stopping() {
                    return (!in_order).then(|| format!("worker {number} left no receipt: {how}"));
                }
                self.restarts += 1;
                self.readiness();
                return Some(format!("worker {number} ended ({how}); it is started again"));
            }
            News::Refused(code) => {
                self.ready.remove(&number);
                self.refused = Some(code);
            }
        }
        self.readiness();
        None
    }

    fn readiness(&self) {
        let (ready, all) = (self.ready.len(), usize::from(self.workers));
        if ready == all {
            self.pulse.ready();
        } else {
            self.pulse.not_ready(format!("{ready} of {all} workers"));
        }
    }

    /// What all workers did so far.
    fn total(&self) -> Counts {
        let mut total = self.done.clone();
        self.running.values().for_each(|counts| total.add(counts));
        total
    }

    fn end(&self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let total = self.total();
        if self.refused.is_some() {
            // The worker has said why.
            return Err(Stop::quietly(Exit::Usage));
        }
        if session.is_json() {
            session.object(&json!({ "receipt": total, "restarts": self.restarts }))?;
        } else {
            session.line(format_args!("{}, {} restarts", total.line(), self.restarts))?;
        }
        if total.drained {
            Ok(())
        } else {
            Err(Stop::quietly(Exit::Failure))
        }
    }
}
