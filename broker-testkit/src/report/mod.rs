//! What a run found.

mod json;
mod junit;
mod kept;
mod matrix;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use broker_core::{Capabilities, LostCapability};
use serde::Serialize;

use crate::context::Context;
use crate::{Level, Outcome, Part};

pub use kept::{Kept, Told};
pub use matrix::Matrix;

/// What a run found: which laws hold, and which of the claimed flags are proved.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The provider's name.
    pub provider: &'static str,
    /// The package that the adapter is in.
    pub package: &'static str,
    /// The adapter's mode, where it has several.
    pub mode: String,
    /// How adapter and server were set up, where that is not their default, such as `cluster`.
    pub setup: String,
    /// The suite's version.
    pub version: &'static str,
    /// The server's version, where the adapter tells it.
    pub server_version: Option<String>,
    /// How thorough the run was.
    pub level: Level,
    /// What tells this run's names from those of others.
    pub run: String,
    /// The seed of random choices.
    pub seed: u64,
    /// How long it took.
    pub ms: u64,
    /// The flags the broker claims.
    pub declared: Capabilities,
    /// The flags that the provider can have and this instance has not.
    pub lost: Vec<LostCapability>,
    /// The checks, by id.
    pub checks: Vec<CheckReport>,
    /// The flags, in the order of their definition.
    pub flags: Vec<FlagReport>,
    /// Whether all checks of the level were chosen; only then is the run judged as a whole.
    pub whole: bool,
    /// What is wrong with the run as a whole, in one line each.
    pub problems: Vec<String>,
    /// What was left out by decision, in one line each.
    pub allowed: Vec<String>,
}

/// What came of one check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The check's name.
    pub id: &'static str,
    /// The law it checks.
    pub law: &'static str,
    /// The smallest level that runs it.
    pub level: Level,
    /// What came of it.
    pub outcome: Outcome,
    /// The flags it needs.
    pub gate: Capabilities,
    /// The flags it proves or refutes.
    pub proves: Capabilities,
    /// The flags without which it sees the broker refuse what they are for.
    pub refuses: Capabilities,
    /// How long it took.
    pub ms: u64,
    /// The seed of its random choices.
    pub seed: u64,
    /// The sums of its ledgers.
    pub ledger: Option<String>,
    /// Why it is not passed.
    pub reason: Option<String>,
}

/// What a run says about one flag.
#[derive(Clone, Debug, Serialize)]
pub struct FlagReport {
    /// The flag's name.
    pub flag: &'static str,
    /// What the run says.
    pub proof: Proof,
    /// The checks that say so; of a flag that is not claimed, those that saw it refused.
    pub checks: Vec<&'static str>,
}

/// What a run says about one flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Claimed; at least one check of it passed and none failed.
    Proved,
    /// Claimed, and a check of it failed.
    Refuted,
    /// Claimed, and no check of it was exercised.
    NotExercised,
    /// Not claimed.
    NotClaimed,
}

impl Report {
    pub(crate) fn new(context: &Context, mut checks: Vec<CheckReport>, took: Duration) -> Self {
        checks.sort_by_key(|check| check.id);
        let provider = context.harness.provider();
        let flags = Capabilities::all()
            .flags()
            .filter_map(|flag| Some(flag_report(flag, flag.name()?, context.capabilities, &checks)))
            .collect();
        Self {
            provider: provider.name(),
            package: provider.package(),
            mode: context.harness.mode(),
            setup: context.harness.setup(),
            version: env!("CARGO_PKG_VERSION"),
            server_version: context.server_version.clone(),
            level: context.level,
            run: context.run.clone(),
            seed: context.seed,
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            declared: context.capabilities,
            lost: context.lost.clone(),
            checks,
            flags,
            whole: false,
            problems: Vec::new(),
            allowed: Vec::new(),
        }
    }

    /// Judges the run as a whole: every claimed flag proved, nothing unexercised but by decision, the pinned number.
    pub(crate) fn judge(
        &mut self,
        unproved: Capabilities,
        absent: &[(Part, &'static str)],
        expected: Option<usize>,
    ) {
        self.whole = true;
        for flag in &self.flags {
            let by_decision = unproved.flags().any(|allowed| allowed.name() == Some(flag.flag));
            match flag.proof {
                Proof::NotExercised if by_decision => {
                    self.allowed.push(format!(
                        "caps.proved: {} is claimed and not proved, by decision",
                        flag.flag
                    ));
                }
                Proof::NotExercised => {
                    self.problems.push(format!(
                        "caps.proved: {} is claimed and no check proved it",
                        flag.flag
                    ));
                }
                Proof::Refuted | Proof::Proved | Proof::NotClaimed => {}
            }
        }
        for check in self
            .checks
            .iter()
            .filter(|check| check.outcome == Outcome::NotExercised)
        {
            let reason = check.reason.as_deref().unwrap_or_default();
            let line = format!("{}: not exercised: {reason}", check.id);
            match absent.iter().find(|(part, _)| reason.ends_with(part.as_str())) {
                Some((_, why)) => self.allowed.push(format!("{line}, by decision: {why}")),
                None => self.problems.push(line),
            }
        }
        let exercised = self.exercised();
        if let Some(expected) = expected.filter(|expected| *expected != exercised) {
            self.problems.push(format!(
                "{exercised} checks were exercised, {expected} are pinned at level {}; pin the new number if it is right",
                self.level
            ));
        }
    }

    /// A name for a file with this report as JSON: no other provider, mode, server or level has it.
    #[must_use]
    pub fn file_name(&self) -> String {
        let server = self.server_version.as_deref().unwrap_or_default();
        let words = [
            self.provider,
            &self.mode,
            &self.setup,
            server,
            self.level.as_str(),
        ];
        format!("{}.json", kept::file_stem(&words))
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    }

    /// How many checks were exercised: passed or failed.
    #[must_use]
    pub fn exercised(&self) -> usize {
        self.count(Outcome::Passed) + self.count(Outcome::Failed)
    }

    /// The ids of the checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CheckReport> {
        self.checks
            .iter()
            .filter(|check| check.outcome == Outcome::Failed)
    }

    /// Whether no check failed and nothing is wrong with the run as a whole.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count(Outcome::Failed) == 0 && self.problems.is_empty() && self.exercised() > 0
    }

    /// Success where the report [is good](Self::is_good).
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn flag_report(
    flag: Capabilities,
    name: &'static str,
    declared: Capabilities,
    checks: &[CheckReport],
) -> FlagReport {
    let about = |outcome| {
        checks
            .iter()
            .filter(move |check| check.proves.contains(flag) && check.outcome == outcome)
            .map(|check| check.id)
            .collect::<Vec<_>>()
    };
    let (failed, passed) = (about(Outcome::Failed), about(Outcome::Passed));
    let (proof, checks) = if !declared.contains(flag) {
        (Proof::NotClaimed, refusals(flag, checks))
    } else if !failed.is_empty() {
        (Proof::Refuted, failed)
    } else if passed.is_empty() {
        (Proof::NotExercised, about(Outcome::NotExercised))
    } else {
        (Proof::Proved, passed)
    };
    FlagReport {
        flag: name,
        proof,
        checks,
    }
}

/// The checks that saw a broker without `flag` refuse it; a subscriber that requires it is refused on every broker.
fn refusals(flag: Capabilities, checks: &[CheckReport]) -> Vec<&'static str> {
    checks
        .iter()
        .filter(|check| check.outcome == Outcome::Passed)
        .filter(|check| check.refuses.contains(flag) || check.id == kept::REQUIRE)
        .map(|check| check.id)
        .collect()
}
