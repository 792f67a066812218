//! The most memory that each reader takes, in a process of its own: an allocator gives back late, or never.

use std::process::Command;

use anyhow::{Context, ensure};

use super::topics::Topics;
use super::{KafkaWork, fill};
use crate::memory::{Memory, peak};
use crate::rounds::{self, Case as _};

/// Measures all readers whose names contain `only`.
pub(super) fn measure(topics: &Topics, only: &str, messages: usize) -> anyhow::Result<Vec<Memory>> {
    let filled = fill(topics, messages)?;
    let readers = KafkaWork::ALL.into_iter().filter(|work| work.reads());
    readers
        .filter(|work| work.name().contains(only))
        .map(|work| {
            let output = Command::new(std::env::current_exe()?)
                .args(["kafka-work", work.name(), topics.servers(), &filled])
                .arg(messages.to_string())
                .output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            ensure!(
                output.status.success(),
                "{} failed: {}",
                work.name(),
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(Memory {
                work: work.name(),
                title: work.title(),
                peak: text.trim().parse()?,
                asked: work.memory(),
            })
        })
        .collect()
}

/// Does one piece of work; answers how much memory it took at most, beyond what the process held before.
pub fn alone(name: &str, servers: &str, filled: &str, messages: usize) -> anyhow::Result<f64> {
    let work = KafkaWork::ALL.into_iter().find(|work| work.name() == name);
    let work = work.with_context(|| format!("unknown work `{name}`"))?;
    let before = peak()?;
    let place = Topics::new(servers)?.place(String::new(), filled.to_owned(), messages);
    rounds::runtime()?.block_on(work.run(place))?;
    Ok(peak()? - before)
}
