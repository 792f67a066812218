//! What is printed.

use std::fmt;

use serde::Serialize;

use crate::counts::Counts;
use crate::idle::Idle;
use crate::latency::Latency;
use crate::memory::Memory;
use crate::rounds::{Case as _, Throughput};

/// All that was measured in one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The processors this run could use.
    processors: usize,
    /// The server beside it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Messages per second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throughput: Vec<Throughput>,
    /// Instructions and allocations per message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<Counts>,
    /// Latency at a steady rate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<Latency>,
    /// The most memory of each reader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<Memory>,
    /// What having nothing to do costs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<Idle>,
}

impl Default for Report {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processors,
            server: None,
            throughput: Vec::new(),
            counts: Vec::new(),
            latency: Vec::new(),
            memory: Vec::new(),
            idle: Vec::new(),
        }
    }
}

impl Report {
    fn write_throughput(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Messages per second, median of interleaved rounds ({} processors",
            self.processors
        )?;
        match &self.server {
            Some(server) => writeln!(f, ", shared with the server: {server})\n")?,
            None => writeln!(f, ")\n")?,
        }
        writeln!(
            f,
            "{:<58} {:>9} {:>19} {:>7} {:>6}",
            "work", "median", "spread", "ratio", "asked"
        )?;
        for row in &self.throughput {
            let spread = format!("{} - {}", rate(row.spread.0), rate(row.spread.1));
            write!(f, "{:<58} {:>9} {spread:>19}", row.title, rate(row.median))?;
            match &row.beside {
                Some(ratio) => writeln!(
                    f,
                    " {:>7.2} {:>6.2} {}",
                    ratio.median,
                    ratio.asked,
                    mark(ratio.median >= ratio.asked)
                )?,
                None => writeln!(f)?,
            }
        }
        writeln!(f)
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Per message, publishing and handling together, one thread\n")?;
        writeln!(
            f,
            "{:<58} {:>12} {:>11} {:>16}",
            "work", "instructions", "allocations", "asked"
        )?;
        for row in &self.counts {
            write!(
                f,
                "{:<58} {:>12.0} {:>11.3}",
                row.work.title(),
                row.instructions,
                row.allocations
            )?;
            match row.budget {
                Some((instructions, allocations)) => {
                    let few = row.instructions < instructions;
                    let frugal = row.allocations <= allocations;
                    let asked = format!("{instructions} / {allocations}");
                    match row.work.held().filter(|_| frugal && !few) {
                        Some(held) if row.instructions < held => {
                            writeln!(f, " {asked:>16} told, held under {held}")?;
                        }
                        _ => writeln!(f, " {asked:>16} {}", mark(few && frugal))?,
                    }
                }
                None => writeln!(f)?,
            }
        }
        writeln!(f)
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Microseconds from the scheduled arrival to the handler, 1,000 messages a second\n"
        )?;
        writeln!(
            f,
            "{:<30} {:>9} {:>9} {:>11} {:>11} {:>6}",
            "work", "p50", "p99", "p50 ratio", "p99 ratio", "asked"
        )?;
        for row in &self.latency {
            write!(f, "{:<30} {:>9.0} {:>9.0}", row.work, row.p50, row.p99)?;
            match row.beside {
                Some((p50, p99, asked)) => writeln!(
                    f,
                    " {p50:>11.2} {p99:>11.2} {asked:>6.2} {}",
                    mark(p50 <= asked && p99 <= asked)
                )?,
                None => writeln!(f)?,
            }
        }
        writeln!(f)
    }

    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "MiB at most, beyond what the process began with\n")?;
        writeln!(f, "{:<58} {:>9} {:>6}", "work", "peak", "asked")?;
        for row in &self.memory {
            write!(f, "{:<58} {:>9.1}", row.title, row.peak)?;
            match row.asked {
                Some(asked) => writeln!(f, " {asked:>6} {}", mark(row.peak <= asked))?,
                None => writeln!(f)?,
            }
        }
        writeln!(f)
    }

    fn write_idle(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "With nothing to do, a publisher and a subscription for each stream\n"
        )?;
        writeln!(
            f,
            "{:>7} {:>33} {:>12} {:>7} {:>18}",
            "streams", "commands a second each", "connections", "tasks", "asked"
        )?;
        for row in &self.idle {
            let (commands, connections, tasks) = row.asked;
            let kept = row.commands < commands && row.connections <= connections && row.tasks <= tasks;
            writeln!(
                f,
                "{:>7} {:>33.2} {:>12} {:>7} {:>18} {}",
                row.streams,
                row.commands,
                row.connections,
                row.tasks,
                format!("{commands} / {connections} / {tasks}"),
                mark(kept)
            )?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.throughput.is_empty() {
            self.write_throughput(f)?;
        }
        if !self.counts.is_empty() {
            self.write_counts(f)?;
        }
        if !self.latency.is_empty() {
            self.write_latency(f)?;
        }
        if !self.memory.is_empty() {
            self.write_memory(f)?;
        }
        if !self.idle.is_empty() {
            self.write_idle(f)?;
        }
        Ok(())
    }
}

/// A rate for people.
fn rate(rate: f64) -> String {
    if rate < 1e6 {
        format!("{:.1} k", rate / 1e3)
    } else {
        format!("{:.2} M", rate / 1e6)
    }
}

fn mark(kept: bool) -> &'static str {
    if kept { "ok" } else { "MISSED" }
}
