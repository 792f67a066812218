//! `broker plan`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use broker_core::config::Config;
use broker_core::{Brokers, Capabilities};
use broker_engine::{Comparison, Plan as EnginePlan};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::{Exit, Stop};
use crate::session::Session;

/// Tell what each subscriber is guaranteed, or what changes with another configuration; fails where flags are missing
/// that are required. In a program without subscribers it tells of the brokers' own flags.
#[derive(Args)]
pub(crate) struct Plan {
    /// The configuration to move to; `--config` is the one to move from.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let before = Brokers::open(&session.config()?)?;
        let after = match &self.against {
            Some(file) => Some(Brokers::open(&Config::from_file(file)?)?),
            None => None,
        };
        if session.app().is_empty() {
            return of_brokers(session, &before, after.as_ref());
        }
        let plan = session.app().on(before).plan()?;
        match after {
            None => tell(session, &plan),
            Some(after) => {
                let after = session.app().on(after).plan()?;
                compare(session, &plan.against(&after))
            }
        }
    }
}

fn tell(session: &mut Session<'_, '_>, plan: &EnginePlan) -> Result<(), Stop> {
    if session.is_json() {
        for entry in &plan.entries {
            session.object(entry)?;
        }
    } else {
        write!(session.output(), "{plan}")?;
    }
    judged(plan.entries.iter().map(|entry| entry.missing))
}

fn compare(session: &mut Session<'_, '_>, comparison: &Comparison) -> Result<(), Stop> {
    if session.is_json() {
        for change in &comparison.changes {
            session.object(change)?;
        }
    } else {
        write!(session.output(), "{comparison}")?;
    }
    judged(comparison.changes.iter().map(|change| change.missing))
}

fn judged(mut missing: impl Iterator<Item = Capabilities>) -> Result<(), Stop> {
    if missing.all(|flags| flags.is_empty()) {
        Ok(())
    } else {
        Err(Stop::quietly(Exit::Failure))
    }
}

/// One line for each flag of each broker that comes or goes, or for each that is there.
fn of_brokers(session: &mut Session<'_, '_>, before: &Brokers, after: Option<&Brokers>) -> Result<(), Stop> {
    let names: BTreeSet<&str> = before
        .names()
        .chain(after.iter().flat_map(|brokers| brokers.names()))
        .collect();
    let mut changed = false;
    for name in names {
        let (had, has) = (Side::of(Some(before), name), Side::of(after, name));
        if after.is_none() {
            told(session, name, &had)?;
            continue;
        }
        if had == has {
            continue;
        }
        changed = true;
        let (lost, gained) = (had.flags - has.flags, has.flags - had.flags);
        if session.is_json() {
            session.object(&json!({
                "broker": name,
                "providers": [had.provider, has.provider],
                "lost": lost,
                "gained": gained,
            }))?;
            continue;
        }
        session.line(format_args!("{name}: {} -> {}", had.name(), has.name()))?;
        for (word, flags) in [("loses", lost), ("gains", gained)] {
            for flag in flags.flags().filter_map(Capabilities::name) {
                session.line(format_args!("  {word:<6} {flag}"))?;
            }
        }
    }
    if after.is_some() && !changed && !session.is_json() {
        session.line("nothing changes")?;
    }
    Ok(())
}

fn told(session: &mut Session<'_, '_>, name: &str, side: &Side) -> Result<(), Stop> {
    if session.is_json() {
        let object: Value = json!({ "broker": name, "provider": side.provider, "capabilities": side.flags });
        return Ok(session.object(&object)?);
    }
    Ok(session.line(format_args!("{name} ({}): {}", side.name(), side.flags))?)
}

/// A broker in one of the configurations.
#[derive(PartialEq, Eq)]
struct Side {
    provider: Option<&'static str>,
    flags: Capabilities,
}

impl Side {
    fn of(brokers: Option<&Brokers>, name: &str) -> Self {
        let broker = brokers.and_then(|brokers| brokers.get(name).ok());
        Self {
            provider: broker.map(|broker| broker.provider()),
            flags: broker.map_or(Capabilities::empty(), |broker| broker.capabilities()),
        }
    }

    fn name(&self) -> &'static str {
        self.provider.unwrap_or("none")
    }
}
