//! What changes when a configuration moves from one broker to another.

use std::fmt;

use broker_core::Capabilities;
use serde::Serialize;

use super::entry::PlanEntry;
use super::plan::Plan;

/// What changes when one plan becomes another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Comparison {
    /// One for each subscriber that changes.
    pub changes: Vec<Change>,
}

/// What changes for one subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The stream or pattern.
    pub stream: String,
    /// The group.
    pub group: String,
    /// The providers, before and after; none where it is not there.
    pub providers: (Option<String>, Option<String>),
    /// Flags that it had and has no longer.
    pub lost: Capabilities,
    /// Flags that it gets.
    pub gained: Capabilities,
    /// What the engine adds anew.
    pub added_by_engine: Vec<String>,
    /// What is absent anew.
    pub absent: Vec<String>,
    /// Required flags that are missing after the change.
    pub missing: Capabilities,
}

impl Comparison {
    pub(super) fn of(before: &Plan, after: &Plan) -> Self {
        let same =
            |one: &PlanEntry, other: &PlanEntry| (&one.stream, &one.group) == (&other.stream, &other.group);
        let mut changes: Vec<_> = before
            .entries
            .iter()
            .filter_map(|one| Change::of(Some(one), after.entries.iter().find(|other| same(one, other))))
            .collect();
        let new = after
            .entries
            .iter()
            .filter(|one| !before.entries.iter().any(|other| same(one, other)));
        changes.extend(new.filter_map(|one| Change::of(None, Some(one))));
        Self { changes }
    }
}

impl Change {
    fn of(before: Option<&PlanEntry>, after: Option<&PlanEntry>) -> Option<Self> {
        let here = before.or(after)?;
        let had = before.map_or(Capabilities::empty(), |entry| entry.by_broker);
        let has = after.map_or(Capabilities::empty(), |entry| entry.by_broker);
        let new = |lines: fn(&PlanEntry) -> &Vec<String>| -> Vec<String> {
            let known = before.map(lines).map(Vec::as_slice).unwrap_or_default();
            after
                .map(lines)
                .into_iter()
                .flatten()
                .filter(|line| !known.contains(line))
                .cloned()
                .collect()
        };
        let change = Self {
            stream: here.stream.clone(),
            group: here.group.clone(),
            providers: (
                before.map(|entry| entry.provider.clone()),
                after.map(|entry| entry.provider.clone()),
            ),
            lost: had - has,
            gained: has - had,
            added_by_engine: new(|entry| &entry.by_engine),
            absent: new(|entry| &entry.absent),
            missing: after.map_or(Capabilities::empty(), |entry| entry.missing),
        };
        (before != after).then_some(change)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return f.write_str("nothing changes\n");
        }
        self.changes.iter().try_for_each(|change| change.fmt(f))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |provider: &Option<String>| provider.clone().unwrap_or_else(|| "none".to_owned());
        let (before, after) = &self.providers;
        writeln!(
            f,
            "{} / {}: {} -> {}",
            self.stream,
            self.group,
            name(before),
            name(after)
        )?;
        let names = |flags: Capabilities| {
            flags
                .flags()
                .filter_map(Capabilities::name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (word, flags) in [
            ("loses", self.lost),
            ("gains", self.gained),
            ("MISSING", self.missing),
        ] {
            if !flags.is_empty() {
                writeln!(f, "  {word:<10} {}", names(flags))?;
            }
        }
        for (word, lines) in [("engine", &self.added_by_engine), ("absent", &self.absent)] {
            for line in lines {
                writeln!(f, "  {word:<10} {line}")?;
            }
        }
        Ok(())
    }
}
