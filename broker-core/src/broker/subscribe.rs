//! How to subscribe.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::consumer::Consumer;
use super::shared::Shared;
use super::subscription::Subscription;
use crate::base::{ListenRequest, Membership, Source};
use crate::values::{
    Capabilities, ConsumerName, Error, GroupName, Ordering, Result, StartPosition, StreamName,
};

/// How many deliveries a subscription holds unsettled unless told otherwise.
const PREFETCH: usize = 256;

/// How to subscribe as a member of a group; made by [`Broker::subscribe`](super::Broker::subscribe).
///
/// ```
/// use broker::prelude::*;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let orders = broker
///     .subscribe("orders", "audit")
///     .start_at(StartPosition::Latest) // the group is new, and history is not its business
///     .sequential() // a failing message parks its key
///     .prefetch(64)
///     .lease(Duration::from_secs(60))
///     .start()
///     .await?;
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription begins with start()"]
pub struct SubscribeBuilder {
    shared: Arc<Shared>,
    names: Result<(StreamName, GroupName)>,
    consumer: Result<ConsumerName>,
    start: StartPosition,
    ordering: Ordering,
    lease: Duration,
    prefetch: Option<RangeInclusive<usize>>,
    max_attempts: Option<u32>,
}

impl SubscribeBuilder {
    pub(super) fn new(shared: Arc<Shared>, names: Result<(StreamName, GroupName)>) -> Self {
        let (consumer, lease) = (Ok(shared.consumer.clone()), shared.config.message_timeout);
        Self {
            shared,
            names,
            consumer,
            start: StartPosition::Earliest,
            ordering: Ordering::Publish,
            lease,
            prefetch: None,
            max_attempts: None,
        }
    }

    /// Sets how many deliveries may be unsettled at once, read ahead or in the application's hands: the bound of
    /// memory. The default is 256; on a broker without acknowledgements it is one, since there what was read ahead is
    /// gone with the subscription. At least one.
    ///
    /// Where reading crosses a network, half of them are fetched while the other half is handled.
    pub fn prefetch(self, deliveries: usize) -> Self {
        self.prefetch_between(deliveries..=deliveries)
    }

    /// As [`prefetch`](Self::prefetch), for a number that grows within these bounds while a handler has small messages
    /// done in next to no time, so that reading needs fewer journeys, and falls back as soon as it has not.
    pub fn prefetch_between(mut self, bounds: RangeInclusive<usize>) -> Self {
        let least = (*bounds.start()).max(1);
        self.prefetch = Some(least..=least.max(*bounds.end()));
        self
    }

    /// Sets where the group starts if it is not there yet. The default is the earliest message kept.
    pub fn start_at(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    /// Hands out a key's next message only once the one before it is settled: a failing message parks its key.
    pub fn sequential(mut self) -> Self {
        self.ordering = Ordering::Sequential;
        self
    }

    /// Sets the member's name; the default is the broker's.
    pub fn consumer<C>(mut self, name: C) -> Self
    where
        C: TryInto<ConsumerName>,
        Error: From<C::Error>,
    {
        self.consumer = name.try_into().map_err(Error::from);
        self
    }

    /// Sets how long a delivery may stay unsettled; the default is the broker's `message_timeout`.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how often a message is delivered to this member in all before it goes to the dead letters; the default is
    /// the broker's `max_retries` and one. At least one.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Begins. The group exists when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName), [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// without `CONSUMER_GROUPS`, and what the connection answers.
    pub async fn start(self) -> Result<Subscription> {
        let (stream, group) = self.names?;
        self.shared.need(Capabilities::CONSUMER_GROUPS, "subscribe")?;
        if self.ordering == Ordering::Sequential {
            self.shared.need(Capabilities::MESSAGE_ORDERING, "subscribe")?;
        }
        if matches!(self.start, StartPosition::Id(_) | StartPosition::Time(_)) {
            self.shared.need(Capabilities::REPLAY, "subscribe")?;
        }
        let settles = self
            .shared
            .base
            .capabilities()
            .contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        let usual = if settles { PREFETCH } else { 1 };
        let prefetch = self.prefetch.unwrap_or(usual..=usual);
        let member = Membership {
            stream,
            group,
            consumer: self.consumer.map_err(|error| error.operation("subscribe"))?,
            start: self.start,
            ordering: self.ordering,
            lease: self.lease,
        };
        let consumer = self.shared.join(member, self.max_attempts).await?;
        consumer.subscribed();
        Ok(Subscription::new(consumer, prefetch))
    }
}

/// How to listen independently of any group; made by [`Broker::listen`](super::Broker::listen).
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let mut users = broker.listen("user.*").start().await?;
/// broker.publish("user.eu", Message::text("somebody new")).await?;
/// if let Some(message) = users.next().await {
///     assert_eq!(message?.payload().as_ref(), b"somebody new");
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription begins with start()"]
pub struct ListenBuilder {
    shared: Arc<Shared>,
    source: Result<Source>,
    start: StartPosition,
    prefetch: usize,
}

impl ListenBuilder {
    pub(super) fn new(shared: Arc<Shared>, source: Result<Source>) -> Self {
        Self {
            shared,
            source,
            start: StartPosition::Latest,
            prefetch: PREFETCH,
        }
    }

    /// Sets where to start; the default is what is published from now on. Anything else needs `REPLAY`.
    pub fn start_at(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    /// Sets how many messages are read ahead at most; the default is 256.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.prefetch = messages.max(1);
        self
    }

    /// Begins. All that is published after this returns is seen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName), [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// where the broker has no independent readers, patterns or history, and what the connection answers.
    pub async fn start(self) -> Result<Subscription> {
        let source = self.source.map_err(|error| error.operation("listen"))?;
        let shared = self.shared;
        shared.need(Capabilities::SUBSCRIBE, "listen")?;
        if matches!(source, Source::Pattern(_)) {
            shared.need(Capabilities::PATTERN_SUBSCRIPTION, "listen")?;
        }
        if self.start != StartPosition::Latest {
            shared.need(Capabilities::REPLAY, "listen")?;
        }
        // A reader of its own has names only for what is logged; `listener` can't clash, as it settles nothing.
        let stream = match &source {
            Source::Stream(stream) => stream.clone(),
            Source::Pattern(pattern) => StreamName::new(pattern.as_str().replace('*', "_"))?,
        };
        let member = Membership {
            stream,
            group: GroupName::new("listener")?,
            consumer: shared.consumer.clone(),
            start: self.start.clone(),
            ordering: Ordering::Publish,
            lease: shared.config.message_timeout,
        };
        let request = ListenRequest {
            source,
            start: self.start,
        };
        let endpoints = shared.family(
            shared.base.families().endpoints,
            Capabilities::SUBSCRIBE,
            "listen",
        )?;
        let endpoint = shared.call("listen", || endpoints.listener(&request)).await?;
        let consumer = Arc::new(Consumer::new(Arc::clone(&shared), member, endpoint));
        Ok(Subscription::new(consumer, self.prefetch..=self.prefetch))
    }
}
