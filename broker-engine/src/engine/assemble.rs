//! From declared subscribers to groups that can be run: one for each broker, stream and group.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use broker_core::broker::{Broker, Brokers};
use broker_core::{Capabilities, Error, ErrorKind, GroupName, Result, StreamName, StreamPattern};

use crate::retry::RetryPolicy;
use crate::states::States;
use crate::subscriber::{Declared, Make, Settings};

/// What a subscriber subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// This stream.
    Stream(StreamName),
    /// Every stream whose name matches, those made later included.
    Pattern(StreamPattern),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(stream) => stream.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// The subscribers of one group, which share its messages by their kinds.
#[derive(Clone, Debug)]
pub(crate) struct Assembled {
    pub(crate) broker: Broker,
    pub(crate) source: Source,
    pub(crate) group: GroupName,
    /// What concerns all of them.
    pub(crate) settings: Settings,
    pub(crate) declared: Vec<Declared>,
}

impl Assembled {
    /// The handlers' names.
    pub(crate) fn handlers(&self) -> String {
        let names: Vec<_> = self
            .declared
            .iter()
            .flat_map(|one| &one.names)
            .map(String::as_str)
            .collect();
        names.join(", ")
    }

    /// The most messages that a handler is called with.
    pub(crate) fn batch_size(&self) -> usize {
        let sizes = self.declared.iter().map(|declared| match &declared.make {
            Make::Single(_) => 1,
            Make::Batched(batching, _) => batching.size,
        });
        sizes.max().unwrap_or(1)
    }
}

/// Gathers the subscribers by broker, stream and group, and checks all that can be checked without I/O.
pub(crate) fn assemble(
    declared: Vec<Declared>,
    brokers: &Brokers,
    states: &States,
    policy: Option<&RetryPolicy>,
) -> Result<Vec<Assembled>> {
    let mut groups: BTreeMap<(String, String, String), Vec<Declared>> = BTreeMap::new();
    for mut one in declared {
        if one.settings.retry.is_none() {
            one.settings.retry = policy.cloned();
        }
        let settings = &one.settings;
        let key = (
            settings.broker.clone().unwrap_or_else(|| "default".to_owned()),
            settings.stream.clone(),
            settings.group.clone(),
        );
        groups.entry(key).or_default().push(one);
    }
    groups
        .into_iter()
        .map(|((broker, stream, group), declared)| {
            gather(brokers.get(&broker)?, &stream, &group, declared, states)
        })
        .collect()
}

fn gather(
    broker: &Broker,
    stream: &str,
    group: &str,
    declared: Vec<Declared>,
    states: &States,
) -> Result<Assembled> {
    let place = |error: Error| error.with("stream", stream).with("group", group);
    let source = if StreamPattern::is_pattern(stream) {
        Source::Pattern(StreamPattern::new(stream)?)
    } else {
        Source::Stream(StreamName::new(stream)?)
    };
    check_handlers(&declared).map_err(place)?;
    for one in &declared {
        if declared.len() > 1 && matches!(one.make, Make::Batched(..)) {
            let names: Vec<_> = declared.iter().map(|one| one.names.join(", ")).collect();
            return Err(place(Error::new(
                ErrorKind::Config,
                format!(
                    "a handler of batches is the only one of its group: {}; give one another group",
                    names.join(" and ")
                ),
            )));
        }
        for check in &one.checks {
            check(states).map_err(|error| place(error).with("handler", one.names.join(", ")))?;
        }
    }
    let mut all = declared.iter().map(|one| &one.settings);
    let mut settings = all
        .next()
        .cloned()
        .unwrap_or_else(|| Settings::new(stream.to_owned(), group.to_owned()));
    for other in all {
        settings.concurrency = settings.concurrency.max(other.concurrency);
        settings.sequential |= other.sequential;
        settings.require |= other.require;
        settings.at_end = settings.at_end.max(other.at_end);
        settings.prefetch = settings.prefetch.max(other.prefetch);
        settings.lease = settings.lease.max(other.lease);
        if settings.ack != other.ack {
            return Err(place(Error::new(
                ErrorKind::Config,
                "two handlers of one group settle differently; give both the same `ack`",
            )));
        }
    }
    if settings.sequential {
        settings.require |= Capabilities::MESSAGE_ORDERING;
    }
    Ok(Assembled {
        broker: broker.clone(),
        source,
        group: GroupName::new(group)?,
        settings,
        declared,
    })
}

/// One handler for each kind: a second one is a mistake, and the error names both.
fn check_handlers(declared: &[Declared]) -> Result<()> {
    let mut seen: BTreeMap<Option<Arc<str>>, String> = BTreeMap::new();
    for one in declared {
        let name = one.names.join(", ");
        if let Some(kind) = &one.twice {
            return Err(twice(&format!("kind `{kind}`"), &name, &name));
        }
        if one.names.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "a subscriber has no handler; add `.on(kind, handler)` or `.handle(handler)`",
            ));
        }
        let kinds = one.kinds.iter().cloned().map(Some);
        for kind in kinds.chain(one.handles_rest.then_some(None)) {
            if let Some(other) = seen.insert(kind.clone(), name.clone()) {
                let what = kind.map_or("any other kind".to_owned(), |kind| format!("kind `{kind}`"));
                return Err(twice(&what, &other, &name));
            }
        }
    }
    Ok(())
}

fn twice(what: &str, one: &str, other: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "messages of {what} have two handlers: {one} and {other}; keep one, or give one another group"
        ),
    )
}
