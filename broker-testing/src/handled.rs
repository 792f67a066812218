//! What handlers were called with, and what became of it.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::broker::Delivery;
use broker_core::{GroupName, Message, MessageId, StreamName};
use broker_engine::{Ended, Incoming, Observer, Outcome, Undecodable};
use serde::de::DeserializeOwned;

use crate::unmet::unmet;

/// One call of a handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handling {
    /// The broker's configured name.
    pub broker: String,
    /// Where the message came from.
    pub stream: StreamName,
    /// The group.
    pub group: GroupName,
    /// The message's place in its stream.
    pub id: MessageId,
    /// The message.
    pub message: Message,
    /// Which attempt of the broker's it was.
    pub attempt: u32,
    /// How it ended; nothing, while the handler runs.
    pub end: Option<HandlingEnd>,
    /// How long it took, on the test's clock.
    pub took: Duration,
}

/// How one call of a handler ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlingEnd {
    /// It was handled: answered with nothing, a message to publish, or a reply.
    Done,
    /// The handler answered that there is nothing to do.
    Skipped,
    /// The handler refused the message, to come again or for good.
    Refused,
    /// The handler failed, with this line.
    Failed(String),
    /// The message is not what the handler takes, for this reason.
    Undecodable(String),
    /// The handler panicked, took too long, or was cut off at the end.
    CutOff,
}

/// The calls of the handlers of one group, in the order in which they began.
///
/// ```
/// use broker::prelude::*;
/// use broker_testing::{HandlingEnd, TestApp};
///
/// async fn bill(Json(_): Json<u32>) {}
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let service = App::empty().subscribe(Subscriber::new("orders", "billing").handle(bill));
/// let app = TestApp::of(service).start().await;
/// app.publish("orders", Message::json(&2).unwrap().key("customer-3")).await;
/// app.settled().await;
///
/// let handled = app.handled("billing");
/// assert_eq!(handled.json::<u32>(), [2]);
/// assert_eq!(handled[0].end, Some(HandlingEnd::Done));
/// # app.stop().await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Handled {
    group: String,
    calls: Vec<Handling>,
}

impl Handled {
    /// How often handlers were called, retries included.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.calls.len()
    }

    /// The calls that ended well.
    pub fn done(&self) -> impl Iterator<Item = &Handling> {
        self.calls
            .iter()
            .filter(|call| matches!(call.end, Some(HandlingEnd::Done | HandlingEnd::Skipped)))
    }

    /// The payloads of the calls that ended well, read as JSON.
    ///
    /// # Panics
    ///
    /// Where one is something else.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> Vec<T> {
        let mut values = Vec::new();
        for call in self.done() {
            match call.message.to_json() {
                Ok(value) => values.push(value),
                Err(error) => unmet(&format!(
                    "{} of {} is not what is read: {error}",
                    call.id, self.group
                )),
            }
        }
        values
    }

    /// What the calls that failed said, in order.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let said = |call: &Handling| match &call.end {
            Some(HandlingEnd::Failed(line) | HandlingEnd::Undecodable(line)) => Some(line.clone()),
            _ => None,
        };
        self.calls.iter().filter_map(said).collect()
    }

    /// Makes sure that `count` messages were handled to their good end.
    ///
    /// # Panics
    ///
    /// Where there were more or fewer.
    #[track_caller]
    pub fn assert_done(&self, count: usize) {
        let done = self.done().count();
        if done != count {
            unmet(&format!(
                "{count} messages were to be handled by {}, and {done} were, in {} calls; errors: {:?}",
                self.group,
                self.calls.len(),
                self.errors()
            ));
        }
    }
}

impl Deref for Handled {
    type Target = [Handling];

    fn deref(&self) -> &[Handling] {
        &self.calls
    }
}

/// All calls of all handlers.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<Vec<Handling>>);

impl Calls {
    pub(crate) fn of(&self, group: &str) -> Handled {
        let mut calls = self.lock().clone();
        calls.retain(|call| call.group.as_str() == group);
        Handled {
            group: group.to_owned(),
            calls,
        }
    }

    /// How many there were, and how many of them run.
    pub(crate) fn count(&self) -> (usize, usize) {
        let calls = self.lock();
        let running = calls.iter().filter(|call| call.end.is_none()).count();
        (calls.len(), running)
    }

    /// How many messages of a group have failed at their last call.
    pub(crate) fn failing(&self, group: &str) -> usize {
        let calls = self.lock();
        let mut last = HashMap::new();
        for call in calls.iter().filter(|call| call.group.as_str() == group) {
            last.insert((&call.broker, &call.stream, &call.id), &call.end);
        }
        let failed = |end: &&Option<HandlingEnd>| {
            matches!(
                end,
                Some(HandlingEnd::Failed(_) | HandlingEnd::Refused | HandlingEnd::CutOff)
            )
        };
        last.into_values().filter(failed).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handling>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Calls {
    fn started(&self, incoming: &Incoming) -> u64 {
        let delivery: &Delivery = &incoming.delivery;
        let mut calls = self.lock();
        calls.push(Handling {
            broker: incoming.context.broker().name().to_owned(),
            stream: delivery.stream().clone(),
            group: incoming.context.group().clone(),
            id: delivery.id(),
            message: delivery.message().clone(),
            attempt: delivery.attempt(),
            end: None,
            took: Duration::ZERO,
        });
        calls.len() as u64 - 1
    }

    fn ended(&self, number: u64, took: Duration, how: Ended<'_>) {
        let end = match how {
            Ended::Answered(Outcome::Ack | Outcome::Publish(_) | Outcome::Reply(_)) => HandlingEnd::Done,
            Ended::Answered(Outcome::Skip) => HandlingEnd::Skipped,
            Ended::Answered(_) => HandlingEnd::Refused,
            Ended::Failed(error) if error.is::<Undecodable>() => HandlingEnd::Undecodable(error.to_string()),
            Ended::Failed(error) => HandlingEnd::Failed(error.to_string()),
            _ => HandlingEnd::CutOff,
        };
        let mut calls = self.lock();
        if let Some(call) = usize::try_from(number)
            .ok()
            .and_then(|number| calls.get_mut(number))
        {
            call.end = Some(end);
            call.took = took;
        }
    }
}
