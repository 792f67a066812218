//! The report for people.

use std::fmt;

use super::{Proof, Report};
use crate::Outcome;

impl Report {
    /// The verdict on the run as a whole: counts, decisions and problems, without the checks one by one.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = vec![format!(
            "{}{} at level {}: {} exercised, {} passed, {} failed, {} not exercised, {} not claimed, seed {}",
            self.provider,
            if self.mode.is_empty() {
                String::new()
            } else {
                format!(" ({})", self.mode)
            },
            self.level,
            self.exercised(),
            self.count(Outcome::Passed),
            self.count(Outcome::Failed),
            self.count(Outcome::NotExercised),
            self.count(Outcome::NotClaimed),
            self.seed,
        )];
        lines.extend(self.allowed.iter().map(|line| format!("allowed: {line}")));
        lines.extend(self.problems.iter().map(|line| format!("problem: {line}")));
        lines.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server_version.as_deref().unwrap_or("not told");
        writeln!(f, "provider  {} {} ({})", self.provider, self.mode, self.package)?;
        writeln!(f, "server    {server}")?;
        writeln!(f, "declared  {}", self.declared)?;
        for lost in &self.lost {
            writeln!(f, "lost      {}: {}", lost.capability, lost.reason)?;
        }
        writeln!(f)?;
        for check in &self.checks {
            let reason = check
                .reason
                .as_deref()
                .or(check.ledger.as_deref())
                .unwrap_or_default();
            let outcome = check.outcome.as_str();
            writeln!(f, "{:<40} {outcome:<13} {:>6} ms  {reason}", check.id, check.ms)?;
        }
        writeln!(f)?;
        for flag in &self.flags {
            let proof = match flag.proof {
                Proof::Proved => "proved",
                Proof::Refuted => "refuted",
                Proof::NotExercised => "not exercised",
                Proof::NotClaimed => "not claimed",
            };
            let shown = match flag.proof {
                Proof::Proved => format!("by {} checks", flag.checks.len()),
                Proof::NotClaimed if !flag.checks.is_empty() => {
                    format!("and refused, as {} checks saw", flag.checks.len())
                }
                _ => flag.checks.join(", "),
            };
            writeln!(f, "{:<24} {proof:<13} {shown}", flag.flag)?;
        }
        write!(f, "\n{}", self.summary())
    }
}
