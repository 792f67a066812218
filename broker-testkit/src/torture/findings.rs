//! What a torture run found.

use std::collections::BTreeMap;
use std::fmt;

use broker_core::Capabilities;
use serde::Serialize;

use super::Fault;
use super::member::keeps_order;
use crate::Verdict;

/// What a torture run found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Findings {
    /// The seed that makes the same choices again.
    pub seed: u64,
    /// The provider.
    pub provider: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The ledger's sums.
    pub verdict: Verdict,
    /// Messages that came, were not asked to be settled by the last who had them, and did not come again.
    pub unsettled: u64,
    /// Messages whose consumer died between asking for the ack and hearing the answer.
    pub unheard: u64,
    /// What the broker says is left in the group at the end, where it says it.
    pub left: Option<u64>,
    /// Why messages came again.
    pub redelivered_because: BTreeMap<&'static str, u64>,
    /// How many states of the group's positions the server was seen in, where it can be asked past the adapter.
    pub commits: Option<u64>,
    /// Messages that the server held for settled before any consumer asked for it.
    pub covered_unasked: u64,
    /// How often the group was seen to move back in a partition.
    pub moved_back: u64,
    /// Deliveries whose attempt number is not above that of the delivery before.
    pub wrong_attempts: u64,
    /// The faults, and how long recovery took.
    pub faults: BTreeMap<Fault, Recovery>,
    /// Processes that ended by themselves, with their last words.
    pub failed_processes: Vec<String>,
    /// Some of what went wrong.
    pub samples: Vec<String>,
    /// What is wrong, by what the broker claims; empty is good.
    pub wrong: Vec<String>,
}

/// How often a fault was, and how long it took after its end until work went on, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Recovery {
    /// How often it was.
    pub count: usize,
    /// Until a consumer settled a message again: the median and the longest. For a killed consumer, until its last
    /// message came to another.
    pub consuming_ms: Option<(u64, u64)>,
    /// Until a publish was answered as stored again: the median and the longest.
    pub publishing_ms: Option<(u64, u64)>,
}

impl Findings {
    /// Whether the broker kept all that it claims.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Holds the sums against what the broker claims.
    pub(super) fn hold_against(mut self, flags: Capabilities) -> Self {
        let guarantees = flags.contains(Capabilities::DELIVERY_GUARANTEES);
        let verdict = &self.verdict;
        let judgements = [
            (guarantees, verdict.lost, "lost"),
            (guarantees, self.unsettled, "never settled"),
            (guarantees, self.left.unwrap_or(0), "left in the group at the end"),
            (true, verdict.duplicated, "delivered again without a reason"),
            (
                keeps_order(flags),
                verdict.reordered,
                "out of the order of their key",
            ),
            (true, verdict.corrupted, "corrupted"),
            (true, verdict.foreign, "foreign, or said not to be sent"),
            (guarantees, self.wrong_attempts, "of a wrong attempt number"),
            (guarantees, self.covered_unasked, "committed as settled unasked"),
        ];
        let mut wrong: Vec<_> = judgements
            .into_iter()
            .filter(|(claimed, count, _)| *claimed && *count > 0)
            .map(|(_, count, what)| format!("{count} messages {what}"))
            .collect();
        if self.moved_back > 0 {
            wrong.push(format!("the group moved back {} times", self.moved_back));
        }
        if verdict.delivered == 0 {
            wrong.push("nothing was delivered".to_owned());
        }
        if !self.failed_processes.is_empty() {
            wrong.push(format!(
                "{} consumer processes failed",
                self.failed_processes.len()
            ));
        }
        self.wrong = wrong;
        self
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} tortured for {:.1} s, seed {}",
            self.provider,
            self.took_ms as f64 / 1000.0,
            self.seed
        )?;
        writeln!(
            f,
            "{}, unsettled {}, ack unheard {}",
            self.verdict, self.unsettled, self.unheard
        )?;
        if !self.redelivered_because.is_empty() {
            let reasons = self.redelivered_because.iter();
            let reasons: Vec<_> = reasons
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            writeln!(f, "came again: {}", reasons.join(", "))?;
        }
        if let Some(commits) = self.commits {
            writeln!(
                f,
                "commits: {commits} states seen, {} messages covered unasked, moved back {}",
                self.covered_unasked, self.moved_back
            )?;
        }
        writeln!(
            f,
            "{:<22}  {:>5}  {:>22}  {:>22}",
            "FAULT", "COUNT", "CONSUMING AGAIN (ms)", "PUBLISHING AGAIN (ms)"
        )?;
        for (fault, recovery) in &self.faults {
            let times = |times: Option<(u64, u64)>| {
                times.map_or("-".to_owned(), |(median, longest)| {
                    format!("{median}, at most {longest}")
                })
            };
            writeln!(
                f,
                "{:<22}  {:>5}  {:>22}  {:>22}",
                fault.as_str(),
                recovery.count,
                times(recovery.consuming_ms),
                times(recovery.publishing_ms)
            )?;
        }
        for sample in self.failed_processes.iter().chain(&self.samples) {
            writeln!(f, "  {sample}")?;
        }
        match self.wrong.is_empty() {
            true => write!(f, "kept: all that it claims"),
            false => write!(f, "BROKEN: {}", self.wrong.join("; ")),
        }
    }
}
