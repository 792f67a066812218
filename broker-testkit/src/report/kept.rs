//! What is kept of a report, to be held against later runs.

use std::collections::BTreeMap;
use std::fmt;

use broker_core::{Capabilities, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::{Level, Outcome};

/// The check that sees each absent flag refused where it is required.
pub(super) const REQUIRE: &str = "config.require";

/// What is kept of a report: what it says of the guarantees, without all that differs from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The provider's name.
    pub provider: String,
    /// The adapter's mode, where it has several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// How adapter and server were set up, where that is not their default, such as `cluster`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub setup: String,
    /// The server's product and version; a provider in process has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How thorough the run was.
    pub level: Level,
    /// The flags the broker claims.
    pub claimed: Capabilities,
    /// The flags that the provider can have and this instance has not, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, String>,
    /// What each check said, by the smallest level that runs it and by its id. One that is about what is not claimed says
    /// nothing, and is left out.
    pub checks: BTreeMap<Level, BTreeMap<String, Told>>,
}

/// What a check says of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Told {
    /// Its law holds, which proves these flags, or none.
    Proves(Capabilities),
    /// What these flags are for is refused, as they are not claimed.
    Refuses(Capabilities),
    /// It was not exercised, by decision.
    NotExercised(String),
}

impl Kept {
    /// What is kept of a report that [`Report::to_json`](super::Report::to_json) wrote.
    ///
    /// # Errors
    ///
    /// Where `json` is something else, the run left checks out, or it was not good.
    pub fn of_report(json: &str) -> Result<Self> {
        let report: Written = serde_json::from_str(json).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "this is no report of a conformance run").source(error)
        })?;
        let refused = |why: &str| {
            let name = name(&report.provider, &report.mode, &report.setup);
            let line = format!("the report on {name} proves nothing: {why}");
            Err(Error::new(ErrorKind::Unexpected, line))
        };
        if !report.whole {
            return refused("a filter left checks out; run it without");
        }
        if let Some(failed) = report
            .checks
            .iter()
            .find(|check| check.outcome == Outcome::Failed)
        {
            return refused(&format!("{} failed", failed.id));
        }
        if let Some(problem) = report.problems.first() {
            return refused(problem);
        }
        let mut checks = BTreeMap::<Level, BTreeMap<_, _>>::new();
        for check in report.checks {
            if let Some(told) = check.told() {
                checks.entry(check.level).or_default().insert(check.id, told);
            }
        }
        Ok(Self {
            provider: report.provider,
            mode: report.mode,
            setup: report.setup,
            server: report.server_version,
            level: report.level,
            claimed: report.declared,
            lost: report
                .lost
                .into_iter()
                .map(|lost| (names(lost.capability), lost.reason))
                .collect(),
            checks,
        })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// Where `json` is something else.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                "this is no kept report of a conformance run",
            )
            .source(error)
        })
    }

    /// One line for each check, so that a difference is readable.
    ///
    /// # Errors
    ///
    /// Those of the serializer, which do not happen.
    pub fn to_json(&self) -> Result<String> {
        let mut json = serde_json::to_string_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "the report can't be written as JSON").source(error)
        })?;
        json.push('\n');
        Ok(json)
    }

    /// The provider and the way it was run, such as `redis_pubsub (queue, cluster)`.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.provider, &self.mode, &self.setup)
    }

    /// The server without its patch number, such as `redis 7.0`: what differs there is not a new server.
    #[must_use]
    pub fn series(&self) -> Option<String> {
        let server = self.server.as_deref()?;
        let (product, version) = server.split_once(' ').unwrap_or((server, ""));
        let numbers: Vec<_> = version.split('.').take(2).collect();
        Some(format!("{product} {}", numbers.join(".")).trim_end().to_owned())
    }

    /// The name of the file that it is kept in: provider, mode and server.
    #[must_use]
    pub fn file_name(&self) -> String {
        let words = [
            &self.provider,
            &self.mode,
            &self.setup,
            &self.series().unwrap_or_default(),
        ];
        format!("{}.json", file_stem(&words.map(String::as_str)))
    }

    /// What each check said, by its id.
    pub fn told(&self) -> impl Iterator<Item = (&str, &Told)> {
        self.checks
            .values()
            .flatten()
            .map(|(id, told)| (id.as_str(), told))
    }

    /// In what it differs from `now`, in one line each, as far as both runs went.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (flags, what) in [
            (now.claimed - self.claimed, "is claimed now"),
            (self.claimed - now.claimed, "is claimed no more"),
        ] {
            lines.extend(
                flags
                    .flags()
                    .map(|flag| format!("{} {what}", flag.name().unwrap_or("a flag"))),
            );
        }
        lines.extend(differences("the loss of ", &self.lost, &now.lost));
        let common = self.level.min(now.level);
        let none = BTreeMap::new();
        for level in [Level::Quick, Level::Full, Level::Chaos] {
            let of = |kept: &Self| kept.checks.get(&level).unwrap_or(&none).clone();
            if level <= common {
                lines.extend(differences("", &of(self), &of(now)));
            }
        }
        lines
    }
}

/// The parts of a written report that are kept, or say whether it may be.
#[derive(Deserialize)]
struct Written {
    provider: String,
    mode: String,
    setup: String,
    server_version: Option<String>,
    level: Level,
    declared: Capabilities,
    lost: Vec<Lost>,
    whole: bool,
    problems: Vec<String>,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Lost {
    capability: Capabilities,
    reason: String,
}

#[derive(Deserialize)]
struct Check {
    id: String,
    level: Level,
    outcome: Outcome,
    proves: Capabilities,
    refuses: Capabilities,
    reason: Option<String>,
}

impl Check {
    fn told(&self) -> Option<Told> {
        match self.outcome {
            Outcome::Passed if !self.refuses.is_empty() => Some(Told::Refuses(self.refuses)),
            Outcome::Passed => Some(Told::Proves(self.proves)),
            Outcome::NotExercised => Some(Told::NotExercised(self.reason.clone().unwrap_or_default())),
            Outcome::Failed | Outcome::NotClaimed => None,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proves(flags) if flags.is_empty() => f.write_str("passed"),
            Self::Proves(flags) => write!(f, "proves {}", names(*flags)),
            Self::Refuses(flags) => write!(f, "refuses {}", names(*flags)),
            Self::NotExercised(reason) => write!(f, "not exercised: {reason}"),
        }
    }
}

impl From<Told> for String {
    fn from(told: Told) -> Self {
        told.to_string()
    }
}

impl TryFrom<String> for Told {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let flags = |names: &str| names.parse().map_err(|error| format!("{error}"));
        if text == "passed" {
            Ok(Self::Proves(Capabilities::empty()))
        } else if let Some(names) = text.strip_prefix("proves ") {
            flags(names).map(Self::Proves)
        } else if let Some(names) = text.strip_prefix("refuses ") {
            flags(names).map(Self::Refuses)
        } else if let Some(reason) = text.strip_prefix("not exercised: ") {
            Ok(Self::NotExercised(reason.to_owned()))
        } else {
            Err(format!("`{text}` is not what a check says"))
        }
    }
}

fn name(provider: &str, mode: &str, setup: &str) -> String {
    let ways: Vec<_> = [mode, setup].into_iter().filter(|way| !way.is_empty()).collect();
    match ways.as_slice() {
        [] => provider.to_owned(),
        ways => format!("{provider} ({})", ways.join(", ")),
    }
}

/// A file's name out of words, in small letters with dashes between them.
pub(super) fn file_stem(words: &[&str]) -> String {
    let parts: Vec<_> = words
        .iter()
        .flat_map(|words| {
            words.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.' && letter != '_')
        })
        .filter(|word| !word.is_empty())
        .collect();
    parts.join("-").to_lowercase()
}

/// The single flags: tiers may be other unions one day.
fn names(flags: Capabilities) -> String {
    flags
        .flags()
        .filter_map(Capabilities::name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn differences<T: fmt::Display + PartialEq>(
    what: &str,
    kept: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, told) in kept {
        match now.get(id) {
            None => lines.push(format!("{what}{id}: `{told}`, and now nothing")),
            Some(now) if now != told => lines.push(format!("{what}{id}: `{told}`, and now `{now}`")),
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|(id, _)| !kept.contains_key(*id));
    lines.extend(new.map(|(id, told)| format!("{what}{id}: new, `{told}`")));
    lines
}
