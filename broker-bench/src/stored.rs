//! The counts that are stored in the repository, and what rose above them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::rounds::Case as _;

/// By what part a count may rise.
const MARGIN: f64 = 0.02;

/// How many allocations per message are none: growth of buffers, spread over many messages.
const FEW: f64 = 0.005;

/// The stored counts.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The compiler they were counted with: another one makes other instructions of the same source.
    compiler: String,
    /// By the work's name.
    works: BTreeMap<String, PerMessage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct PerMessage {
    instructions: f64,
    allocations: f64,
}

/// How counts stand to the stored ones.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    /// What rose, in one line each.
    pub rose: Vec<String>,
    /// What fell so far that the stored count is no bound any more.
    pub fell: Vec<String>,
    /// Why counts were not compared.
    pub not_compared: Option<String>,
}

impl Stored {
    /// Rounds counts as they are stored.
    pub fn of(counts: &[Counts]) -> anyhow::Result<Self> {
        let works = counts.iter().map(|counts| {
            let rounded = PerMessage {
                instructions: counts.instructions.round(),
                allocations: (counts.allocations * 1000.0).round() / 1000.0,
            };
            (counts.work.name().to_owned(), rounded)
        });
        Ok(Self {
            compiler: compiler()?,
            works: works.collect(),
        })
    }

    /// Reads them from a file.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} can't be read; --update writes it", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} has no stored counts", file.display()))
    }

    /// Writes them to a file.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))
    }

    /// Holds counts of this run against the stored ones.
    pub fn judge(&self, now: &Self) -> Findings {
        let mut findings = Findings::default();
        for (name, now_each) in &now.works {
            let Some(then) = self.works.get(name) else {
                findings.rose.push(format!("{name}: nothing is stored"));
                continue;
            };
            if self.compiler == now.compiler {
                findings.compare(
                    name,
                    "instructions",
                    then.instructions,
                    now_each.instructions,
                    0.0,
                );
            }
            findings.compare(name, "allocations", then.allocations, now_each.allocations, FEW);
        }
        if self.compiler != now.compiler {
            findings.not_compared = Some(format!(
                "instructions: they are stored for {}, and this is {}",
                self.compiler, now.compiler
            ));
        }
        findings
    }
}

impl Findings {
    fn compare(&mut self, name: &str, what: &str, then: f64, now: f64, few: f64) {
        let line = || {
            let change = (now / then - 1.0) * 100.0;
            if change.is_finite() {
                format!("{name}: {now} {what} per message, {then} are stored ({change:+.1} %)")
            } else {
                format!("{name}: {now} {what} per message, {then} are stored")
            }
        };
        if now > then * (1.0 + MARGIN) + few {
            self.rose.push(line());
        } else if now < then * (1.0 - MARGIN) - few {
            self.fell.push(line());
        }
    }
}

fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .context("rustc can't be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `rustc 1.91.0 (hash date)`: the number says it all.
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(instructions: f64, allocations: f64) -> Stored {
        let each = PerMessage {
            instructions,
            allocations,
        };
        Stored {
            compiler: "rustc 1.0.0".to_owned(),
            works: BTreeMap::from([("inline_batch".to_owned(), each)]),
        }
    }

    #[test]
    fn two_per_cent_are_borne_and_no_more() {
        let then = stored(1000.0, 1.0);
        assert_eq!(then.judge(&stored(1019.0, 1.02)), Findings::default());
        assert_eq!(
            then.judge(&stored(1021.0, 1.0)).rose,
            ["inline_batch: 1021 instructions per message, 1000 are stored (+2.1 %)"]
        );
        assert_eq!(
            stored(1.0, 0.0).judge(&stored(1.0, 0.01)).rose,
            ["inline_batch: 0.01 allocations per message, 0 are stored"]
        );
        assert_eq!(then.judge(&stored(970.0, 1.0)).fell.len(), 1);
    }

    #[test]
    fn another_compiler_is_told_and_allocations_are_judged_all_the_same() {
        let (then, mut now) = (stored(1000.0, 0.0), stored(2000.0, 0.5));
        now.compiler = "rustc 2.0.0".to_owned();
        let findings = then.judge(&now);
        assert_eq!(
            findings.rose,
            ["inline_batch: 0.5 allocations per message, 0 are stored"]
        );
        assert!(findings.not_compared.is_some());
    }

    #[test]
    fn what_nobody_stored_is_a_finding() {
        assert_eq!(
            Stored::default().judge(&stored(1.0, 0.0)).rose,
            ["inline_batch: nothing is stored"]
        );
    }
}
