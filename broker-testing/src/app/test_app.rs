//! The application under test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::{Broker, Brokers};
use broker_core::{DeadLetterQuery, Error, GroupName, Message, MessageId, StreamName};
use broker_engine::{App, Engine, Plan, Receipt};
use futures_util::FutureExt as _;

use super::builder::TestAppBuilder;
use super::settling;
use crate::dead_letters::DeadLetters;
use crate::handled::{Calls, Handled};
use crate::recording::{Recorded, RecordedMessages, Tape};
use crate::unmet::unmet;

/// An application that runs in the test's process, on brokers that record.
#[derive(Debug)]
pub struct TestApp {
    pub(super) engine: Engine,
    pub(super) brokers: Brokers,
    pub(super) tapes: BTreeMap<String, Tape>,
    pub(super) calls: Arc<Calls>,
    pub(super) patience: Duration,
}

impl TestApp {
    /// Begins to configure the brokers of `app`: one for each name that its subscribers are on.
    pub fn of(app: App) -> TestAppBuilder {
        TestAppBuilder::new(app)
    }

    /// Publishes to the default broker.
    ///
    /// # Panics
    ///
    /// Where it is not stored.
    pub async fn publish<S>(&self, stream: S, message: Message) -> MessageId
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        match self.brokers.publish(stream, message).await {
            Ok(id) => id,
            Err(error) => unmet(&format!("what the test publishes: {error}")),
        }
    }

    /// Waits until every message is settled by every group, those that handlers publish and those that are delayed
    /// included. On a paused clock that takes no time.
    ///
    /// # Panics
    ///
    /// Where messages are left after the [patience](TestAppBuilder::patience), with what is left.
    pub async fn settled(&self) {
        if let Err(left) = settling::settled(self).await {
            unmet(&left);
        }
    }

    /// What the handlers of this group were called with, over all streams.
    #[must_use]
    pub fn handled(&self, group: &str) -> Handled {
        self.calls.of(group)
    }

    /// What was published to this stream of the default broker, by the test and by handlers.
    #[must_use]
    pub fn published(&self, stream: &str) -> RecordedMessages {
        self.published_on("default", stream)
    }

    /// What was published to this stream of another broker.
    ///
    /// # Panics
    ///
    /// Where there is no broker of that name.
    #[must_use]
    #[track_caller]
    pub fn published_on(&self, broker: &str, stream: &str) -> RecordedMessages {
        match self.tapes.get(broker) {
            Some(tape) => RecordedMessages::on(stream, tape.all()),
            None => unmet(&format!(
                "there is no broker `{broker}` in this test; add `.broker(\"{broker}\")`"
            )),
        }
    }

    /// All that was published to the default broker, in order.
    #[must_use]
    pub fn all_published(&self) -> Vec<Recorded> {
        self.tapes.get("default").map(Tape::all).unwrap_or_default()
    }

    /// The dead letters of a group of the default broker.
    ///
    /// # Panics
    ///
    /// Where the broker keeps none; there the engine publishes them to the stream `STREAM.GROUP.dead`.
    #[must_use]
    #[track_caller]
    pub fn dead_letters(&self, stream: &str, group: &str) -> DeadLetters {
        self.dead_letters_on("default", stream, group)
    }

    /// The dead letters of a group of another broker.
    ///
    /// # Panics
    ///
    /// As [`dead_letters`](Self::dead_letters), and where there is no broker of that name.
    #[must_use]
    #[track_caller]
    pub fn dead_letters_on(&self, broker: &str, stream: &str, group: &str) -> DeadLetters {
        let letters = || {
            let names = (StreamName::new(stream)?, GroupName::new(group)?);
            let queue = self.brokers.get(broker)?.dead_letters(names.0, names.1)?;
            let query = DeadLetterQuery {
                limit: usize::MAX,
                ..DeadLetterQuery::default()
            };
            // The in-process broker answers at once.
            let page = queue.list(query).now_or_never();
            page.unwrap_or_else(|| Err(Error::closed()))
        };
        match letters() {
            Ok(page) => DeadLetters::new(format!("{stream}/{group}"), page.letters),
            Err(error) => unmet(&format!("the dead letters of {stream}/{group}: {error}")),
        }
    }

    /// The default broker.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        self.brokers.default_broker()
    }

    /// All brokers.
    #[must_use]
    pub fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// What each subscriber is guaranteed.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.engine.plan()
    }

    /// Stops as the application would, and answers its receipt.
    ///
    /// # Panics
    ///
    /// Where a broker does not close.
    pub async fn stop(self) -> Receipt {
        match self.engine.stop().await {
            Ok(receipt) => receipt,
            Err(error) => unmet(&format!("the application does not stop: {error}")),
        }
    }
}
