//! One subscriber's guarantees.

use std::fmt;

use broker_core::Capabilities;
use broker_core::broker::Broker;
use serde::Serialize;

use crate::engine::Assembled;
use crate::retry::RetryPolicy;
use crate::subscriber::{OrderedBy, Settings};

/// What one subscriber is guaranteed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlanEntry {
    /// The stream or pattern.
    pub stream: String,
    /// The group.
    pub group: String,
    /// The configured broker.
    pub broker: String,
    /// Its provider.
    pub provider: String,
    /// The handlers.
    pub handlers: Vec<String>,
    /// The kinds they handle.
    pub kinds: Vec<String>,
    /// How many messages are handled at once.
    pub concurrency: usize,
    /// Whether a failing message parks its key.
    pub sequential: bool,
    /// How often a message is tried.
    pub attempts: u32,
    /// What is required.
    pub require: Capabilities,
    /// What the broker guarantees.
    pub by_broker: Capabilities,
    /// What the engine adds, in words.
    pub by_engine: Vec<String>,
    /// What nobody gives, in words.
    pub absent: Vec<String>,
    /// What is required and missing: with any, the engine does not start.
    pub missing: Capabilities,
}

impl PlanEntry {
    pub(crate) fn of(one: &Assembled, dead_streams: bool) -> Self {
        let (broker, settings) = (&one.broker, &one.settings);
        let attempts = one
            .declared
            .iter()
            .map(|declared| match &declared.settings.retry {
                Some(policy) => policy.attempts,
                None => RetryPolicy::of(broker.config()).attempts,
            });
        let attempts = attempts.max().unwrap_or(1);
        let kinds = one.declared.iter().flat_map(|declared| {
            let rest = declared.handles_rest.then(|| "*".to_owned());
            declared.kinds.iter().map(ToString::to_string).chain(rest)
        });
        let (by_engine, absent) = added(broker, attempts, dead_streams, settings);
        Self {
            stream: one.source.to_string(),
            group: one.group.to_string(),
            broker: broker.name().to_owned(),
            provider: broker.provider().to_owned(),
            handlers: one
                .declared
                .iter()
                .flat_map(|declared| declared.names.clone())
                .collect(),
            kinds: kinds.collect(),
            concurrency: settings.concurrency,
            sequential: settings.sequential,
            attempts,
            require: settings.require,
            by_broker: broker.capabilities(),
            by_engine,
            absent,
            missing: settings.require - broker.capabilities(),
        }
    }
}

/// What the engine adds to a broker, and what is absent all the same.
fn added(
    broker: &Broker,
    attempts: u32,
    dead_streams: bool,
    settings: &Settings,
) -> (Vec<String>, Vec<String>) {
    let has = |flags| broker.has_capability(flags);
    let (mut adds, mut absent) = (Vec::new(), Vec::new());
    let (lanes, sequential) = (settings.concurrency, settings.sequential);
    if !has(Capabilities::MESSAGE_REJECTION) && attempts > 1 {
        adds.push(format!(
            "retry: {attempts} attempts within the process, which a crash forgets"
        ));
    }
    match settings.ordered_by {
        OrderedBy::Key if lanes > 1 => {
            adds.push(format!("order of each key over {lanes} lanes within the process"));
        }
        OrderedBy::Nothing if lanes > 1 => {
            absent.push(format!(
                "order: any message may overlap any other over {lanes} lanes, as asked for"
            ));
        }
        OrderedBy::Key | OrderedBy::Nothing => {}
    }
    if !has(Capabilities::DEAD_LETTER_QUEUE) {
        match (
            dead_streams && broker.config().enable_dlq,
            has(Capabilities::PUBLISH),
        ) {
            (true, true) => adds.push("dead letters: published to the stream STREAM.GROUP.dead".to_owned()),
            _ => absent.push("dead letters: a message that is given up is gone".to_owned()),
        }
    }
    if !has(Capabilities::DELIVERY_GUARANTEES) {
        absent.push("delivery guarantees: what is in hand is lost by a crash".to_owned());
    }
    if !has(Capabilities::MESSAGE_ORDERING) {
        absent.push("order: messages of one key may overtake each other at the broker".to_owned());
        if sequential {
            absent.push("sequential mode: it needs MESSAGE_ORDERING".to_owned());
        }
    } else if sequential {
        adds.push("sequential mode: a message that fails parks its key, and only its key".to_owned());
    } else if attempts > 1 && settings.ordered_by == OrderedBy::Key && has(Capabilities::MESSAGE_REJECTION) {
        absent.push(
            "order after a failure: later messages of its key overtake one that is tried again, unless `sequential`"
                .to_owned(),
        );
    }
    if !has(Capabilities::REPLAY) {
        absent.push("replay: a group can't be moved back".to_owned());
    }
    if has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) && !has(Capabilities::LEASE_EXTENSION) {
        absent.push("longer leases: a handler that outlasts its lease sees its message again".to_owned());
    }
    (adds, absent)
}

impl fmt::Display for PlanEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} / {} on {} ({})",
            self.stream, self.group, self.broker, self.provider
        )?;
        writeln!(f, "  handlers   {}", self.handlers.join(", "))?;
        writeln!(
            f,
            "  kinds      {}; {} at once, {} attempts",
            self.kinds.join(", "),
            self.concurrency,
            self.attempts
        )?;
        writeln!(f, "  broker     {}", self.by_broker)?;
        for line in &self.by_engine {
            writeln!(f, "  engine     {line}")?;
        }
        for line in &self.absent {
            writeln!(f, "  absent     {line}")?;
        }
        if !self.missing.is_empty() {
            writeln!(f, "  MISSING    {} (required)", self.missing)?;
        }
        Ok(())
    }
}
