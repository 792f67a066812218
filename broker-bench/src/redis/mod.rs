//! Redis Streams beside the raw client, on a private server.

pub mod framework;
mod idle;
pub mod latency;
pub mod raw;
mod work;

use anyhow::Context;
use broker_testkit::servers::{RedisConfig, RedisServer};
use clap::ValueEnum;

use work::RedisWork;

use crate::report::Report;
use crate::rounds::{self, Case as _, Throughput};

/// What is measured; all of it unless one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Messages per second.
    Throughput,
    /// Latency at a steady rate.
    Latency,
    /// What subscriptions cost that have nothing to do.
    Idle,
}

/// Measures on a private server without persistence.
pub fn measure(
    report: &mut Report,
    part: Option<Part>,
    only: &str,
    rounds: usize,
    messages: usize,
) -> anyhow::Result<()> {
    let server = RedisConfig::new().start()?;
    report.server = Some(server.version().to_string());
    let wanted = |one| part.is_none_or(|part| part == one);
    if wanted(Part::Throughput) {
        report.throughput = throughput(&server, only, rounds, messages)?;
    }
    if wanted(Part::Latency) {
        report.latency = latency::measure(&server.url(), rounds)?;
    }
    if wanted(Part::Idle) {
        report.idle = idle::measure(&server)?;
    }
    Ok(())
}

/// Does one case's work on the server at `url`; answers the messages per second.
pub fn alone(name: &str, url: &str, messages: usize) -> anyhow::Result<f64> {
    let work = RedisWork::ALL.into_iter().find(|work| work.name() == name);
    let work = work.with_context(|| format!("unknown work `{name}`"))?;
    let runtime = rounds::runtime()?;
    // On a worker thread, as it is measured.
    let task = runtime.spawn(work.run(url.to_owned(), messages));
    let (messages, took) = runtime.block_on(task)??;
    Ok(messages as f64 / took.as_secs_f64())
}

/// Messages per second of every case whose name contains `only`, and of those they are compared with.
fn throughput(
    server: &RedisServer,
    only: &str,
    rounds: usize,
    messages: usize,
) -> anyhow::Result<Vec<Throughput>> {
    let named = |work: &RedisWork| work.name().contains(only);
    let wanted: Vec<_> = RedisWork::ALL.into_iter().filter(named).collect();
    let compared = |work: &RedisWork| {
        wanted
            .iter()
            .any(|own| own.beside().is_some_and(|(raw, _)| raw == *work))
    };
    let cases: Vec<_> = RedisWork::ALL
        .into_iter()
        .filter(|work| named(work) || compared(work))
        .collect();
    rounds::measure(&cases, rounds, |work| work.run(server.url(), messages))
}
