//! RabbitMQ beside the raw client, on a private server.

pub mod framework;
pub mod latency;
pub mod raw;
mod work;

use broker_testkit::servers::RabbitMqConfig;
use clap::ValueEnum;

use work::RabbitMqWork;

use crate::report::Report;
use crate::rounds::{self, Case as _, Throughput};

/// The stream, which is an exchange, and what messages are routed by.
pub const EXCHANGE: &str = "bench";

/// The group.
pub const GROUP: &str = "handlers";

/// The group's queue.
pub const QUEUE: &str = "bench/handlers";

/// Messages of one published batch.
pub const BATCH: usize = 1000;

/// What is measured; all of it unless one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Messages per second.
    Throughput,
    /// Latency at a steady rate.
    Latency,
}

/// Measures on a private server, with quorum queues.
pub fn measure(
    report: &mut Report,
    part: Option<Part>,
    only: &str,
    rounds: usize,
    messages: usize,
) -> anyhow::Result<()> {
    let server = RabbitMqConfig::new().start()?;
    report.server = Some(server.version().to_string());
    let url = server.url();
    rounds::runtime()?.block_on(framework::prepare(&url))?;
    let messages = messages.next_multiple_of(BATCH);
    let wanted = |one| part.is_none_or(|part| part == one);
    if wanted(Part::Throughput) {
        report.throughput = throughput(&url, only, rounds, messages)?;
    }
    if wanted(Part::Latency) {
        report.latency = latency::measure(&url, rounds)?;
    }
    Ok(())
}

/// Messages per second of every case whose name contains `only`, and of those they are compared with.
fn throughput(url: &str, only: &str, rounds: usize, messages: usize) -> anyhow::Result<Vec<Throughput>> {
    let named = |work: &RabbitMqWork| work.name().contains(only);
    let wanted: Vec<_> = RabbitMqWork::ALL.into_iter().filter(named).collect();
    let compared = |work: &RabbitMqWork| {
        wanted
            .iter()
            .any(|own| own.beside().is_some_and(|(raw, _)| raw == *work))
    };
    let cases: Vec<_> = RabbitMqWork::ALL
        .into_iter()
        .filter(|work| named(work) || compared(work))
        .collect();
    rounds::measure(&cases, rounds, |work| work.run(url.to_owned(), messages))
}
