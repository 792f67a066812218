//! What is printed.

use std::fmt;

use serde::Serialize;

use crate::counts::Counts;
use crate::rounds::Throughput;

/// All that was measured in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The processors this run could use.
    processors: usize,
    /// Messages per second.
    pub(crate) throughput: Vec<Throughput>,
    /// Instructions and allocations per message.
    pub(crate) counts: Vec<Counts>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processors,
            throughput: Vec::new(),
            counts: Vec::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.throughput.is_empty() {
            writeln!(
                f,
                "Messages per second, median of interleaved rounds ({} processors)\n",
                self.processors
            )?;
            writeln!(
                f,
                "{:<58} {:>9} {:>17} {:>7} {:>6}",
                "work", "median", "spread", "ratio", "asked"
            )?;
            for row in &self.throughput {
                let spread = format!("{} - {}", millions(row.spread.0), millions(row.spread.1));
                write!(
                    f,
                    "{:<58} {:>9} {spread:>17}",
                    row.work.title(),
                    millions(row.median)
                )?;
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
            writeln!(f)?;
        }
        if !self.counts.is_empty() {
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
                        let kept = row.instructions < instructions && row.allocations <= allocations;
                        writeln!(
                            f,
                            " {:>16} {}",
                            format!("{instructions} / {allocations}"),
                            mark(kept)
                        )?;
                    }
                    None => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}

fn millions(rate: f64) -> String {
    format!("{:.2} M", rate / 1e6)
}

fn mark(kept: bool) -> &'static str {
    if kept { "ok" } else { "MISSED" }
}
