//! Where a message is handled.

use std::fmt;
use std::sync::Arc;

use broker_core::broker::{Broker, Brokers};
use broker_core::{Error, GroupName, Message, MessageId, Result, StreamName};

use crate::layers::current;
use crate::states::States;

/// Where a message is handled: the subscriber, the application's state and its brokers. Clones share it.
///
/// ```
/// use broker::engine::Context;
/// use broker::prelude::*;
///
/// async fn archive(Json(letter): Json<String>, context: Context) -> Result<(), broker::Error> {
///     context.publish("archive", Message::json(&letter)?).await.map(drop)
/// }
/// # let _ = Subscriber::new("letters", "archive").handle(archive);
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    stream: StreamName,
    group: GroupName,
    broker: Broker,
    brokers: Brokers,
    states: Arc<States>,
}

impl Context {
    pub(crate) fn new(
        stream: StreamName,
        group: GroupName,
        broker: Broker,
        brokers: Brokers,
        states: Arc<States>,
    ) -> Self {
        Self(Arc::new(Inner {
            stream,
            group,
            broker,
            brokers,
            states,
        }))
    }

    /// The stream that is subscribed to.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.0.stream
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &GroupName {
        &self.0.group
    }

    /// The broker that the message came from.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.0.broker
    }

    /// Another configured broker.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](broker_core::ErrorKind::NotFound) that lists the configured names.
    pub fn named(&self, name: &str) -> Result<&Broker> {
        self.0.brokers.get(name)
    }

    /// Publishes to the broker that the message came from. Below a [`CorrelationLayer`](crate::layers::CorrelationLayer),
    /// what is published follows from the message that is being handled.
    ///
    /// # Errors
    ///
    /// As [`Broker::publish`].
    pub async fn publish<S>(&self, stream: S, message: Message) -> Result<MessageId>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let message = match current() {
            Some(current) => current.follow(message),
            None => message,
        };
        self.0.broker.publish(stream, message).await
    }

    /// The application's state of this type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.states.get()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("stream", &self.0.stream)
            .field("group", &self.0.group)
            .finish_non_exhaustive()
    }
}
