//! An opened broker.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::batch::Batch;
use super::consumer::Consumer;
use super::dead_letter_queue::DeadLetterQueue;
use super::delivery::Delivery;
use super::nack_options::NackOptions;
use super::publisher::PublisherBuilder;
use super::shared::Shared;
use super::subscribe::{ListenBuilder, SubscribeBuilder};
use crate::base::{Membership, ReadRequest, Source};
use crate::values::{
    BrokerEvent, Capabilities, Error, GroupName, Health, LostCapability, Message, MessageId, Ordering,
    Outcome, Published, Receipt, ReceiptRun, Result, Settled, StartPosition, StreamName, StreamPattern,
};

/// An opened broker under its configured name. Clones share it.
///
/// Opening does no I/O: the first call connects. Every method may be called from many tasks at once. Where an
/// operation needs a capability that this broker has not, it answers
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) at once.
#[derive(Clone)]
pub struct Broker {
    pub(super) shared: Arc<Shared>,
}

impl Broker {
    /// The configured name, such as `default`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The provider's name, such as `redis`.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        self.shared.provider
    }

    /// The flags of this instance.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.base.capabilities()
    }

    /// The flags that the provider can have and this instance has not, each with its reason.
    #[must_use]
    pub fn lost_capabilities(&self) -> Vec<LostCapability> {
        self.shared.base.lost_capabilities()
    }

    /// Whether this broker has all of `wanted`.
    #[must_use]
    pub fn has_capability(&self, wanted: Capabilities) -> bool {
        self.capabilities().has_capability(wanted)
    }

    /// Whether this broker has at least one of `wanted`.
    #[must_use]
    pub fn has_any_capability(&self, wanted: Capabilities) -> bool {
        self.capabilities().has_any_capability(wanted)
    }

    /// Publishes a message, and answers its id once the broker has it.
    ///
    /// # Errors
    ///
    /// Why it is not stored, or may not be: [`Error::retry_class`] is [`Retry::Unknown`](crate::Retry::Unknown) where
    /// the broker may have it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the message stored or not.
    pub async fn publish<S>(&self, stream: S, message: Message) -> Result<MessageId>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let published = self.publish_batch(stream, vec![message]).await?;
        published
            .outcome(0)
            .unwrap_or_else(|| Outcome::Unknown(Error::closed()))
            .into_result()
    }

    /// Publishes messages in order, with an outcome for each: stored, not sent, or unknown.
    ///
    /// # Errors
    ///
    /// Where nothing was tried: a bad name, a closed broker, an open circuit, no connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave any of the messages stored.
    pub async fn publish_batch<S>(&self, stream: S, messages: Vec<Message>) -> Result<Published>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = self.stream_name(stream, "publish")?;
        let endpoint = self.shared.publish_endpoint(&stream).await?;
        self.shared.publish_checked(&*endpoint, messages).await
    }

    /// Begins to build a publisher, which is the fast way to publish much to one stream.
    pub fn publisher<S>(&self, stream: S) -> PublisherBuilder
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        PublisherBuilder::new(Arc::clone(&self.shared), self.stream_name(stream, "publish"))
    }

    /// Reads up to `max` messages that are there now, as a member of `group`, which starts at the earliest message.
    ///
    /// # Errors
    ///
    /// A failure is an error; an empty batch means that nothing was there.
    ///
    /// # Cancel safety
    ///
    /// What a dropped future had been handed comes again when its lease ends.
    pub async fn read<S, G>(&self, stream: S, group: G, max: usize) -> Result<Batch>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        self.read_wait(stream, group, max, Duration::ZERO).await
    }

    /// Reads up to `max` messages, waiting up to `wait` for the first.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); a wait needs `BLOCKING_READ`.
    ///
    /// # Cancel safety
    ///
    /// As [`read`](Self::read).
    pub async fn read_wait<S, G>(&self, stream: S, group: G, max: usize, wait: Duration) -> Result<Batch>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let names = (self.stream_name(stream, "read")?, self.group_name(group, "read")?);
        self.shared.need(Capabilities::CONSUMER_GROUPS, "read")?;
        if !wait.is_zero() {
            self.shared.need(Capabilities::BLOCKING_READ, "read")?;
        }
        let consumer = self.shared.consumer_of(names).await?;
        let deliveries = consumer.read(max, wait).await?;
        Ok(Batch::new(consumer, deliveries))
    }

    /// Collects `count` messages, or as many as come within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); messages collected before the error come again when their lease ends.
    ///
    /// # Cancel safety
    ///
    /// As [`read`](Self::read).
    pub async fn receive_many<S, G>(
        &self,
        stream: S,
        group: G,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Delivery>>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let (stream, group) = (self.stream_name(stream, "read")?, self.group_name(group, "read")?);
        let until = Instant::now() + timeout.min(Duration::from_secs(86_400 * 365));
        let mut received = Vec::new();
        while received.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            let batch = self
                .read_wait(&stream, &group, count - received.len(), left)
                .await?;
            if batch.is_empty() && left.is_zero() {
                break;
            }
            received.extend(batch);
        }
        Ok(received)
    }

    /// Begins to build a subscription as a member of `group`.
    pub fn subscribe<S, G>(&self, stream: S, group: G) -> SubscribeBuilder
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let names = self
            .stream_name(stream, "subscribe")
            .and_then(|stream| Ok((stream, self.group_name(group, "subscribe")?)));
        SubscribeBuilder::new(Arc::clone(&self.shared), names)
    }

    /// Begins to build an independent reader of a stream, or, with a `*` in the name, of all streams that match. It
    /// belongs to no group, sees every message, and settles nothing.
    pub fn listen(&self, source: impl AsRef<str>) -> ListenBuilder {
        let source = source.as_ref();
        let source = if StreamPattern::is_pattern(source) {
            StreamPattern::new(source).map(Source::Pattern)
        } else {
            StreamName::new(source).map(Source::Stream)
        };
        ListenBuilder::new(Arc::clone(&self.shared), source)
    }

    /// Settles a delivery of this broker's own consumer as done, by its receipt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), and what the connection answers.
    pub async fn ack<S, G>(&self, stream: S, group: G, receipt: Receipt) -> Result<Settled>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let names = (self.stream_name(stream, "ack")?, self.group_name(group, "ack")?);
        self.shared.need(Capabilities::MESSAGE_ACKNOWLEDGEMENT, "ack")?;
        let answer = self
            .shared
            .consumer_of(names)
            .await?
            .ack(&[ReceiptRun::from(receipt)])
            .await?;
        Ok(answer.get(0).unwrap_or(Settled::NotPending))
    }

    /// Refuses a delivery of this broker's own consumer, by its receipt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), and what the connection answers.
    pub async fn nack<S, G>(
        &self,
        stream: S,
        group: G,
        receipt: Receipt,
        options: NackOptions,
    ) -> Result<Settled>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let names = (self.stream_name(stream, "nack")?, self.group_name(group, "nack")?);
        self.shared.need(Capabilities::MESSAGE_REJECTION, "nack")?;
        self.shared
            .consumer_of(names)
            .await?
            .nack(receipt, &options)
            .await
    }

    /// A group's dead letters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `DEAD_LETTER_QUEUE`, or a bad name.
    pub fn dead_letters<S, G>(&self, stream: S, group: G) -> Result<DeadLetterQueue>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let names = (
            self.stream_name(stream, "dead letters")?,
            self.group_name(group, "dead letters")?,
        );
        self.shared
            .need(Capabilities::DEAD_LETTER_QUEUE, "dead letters")?;
        Ok(DeadLetterQueue::new(Arc::clone(&self.shared), names.0, names.1))
    }

    /// Asks the server for a sign of life; answers how long that took.
    ///
    /// # Errors
    ///
    /// What the connection answers, within `ping_timeout`.
    pub async fn ping(&self) -> Result<Duration> {
        self.shared.ping().await
    }

    /// How the broker is, within `ping_timeout`. This never fails: a server that is away is `unhealthy`.
    pub async fn health_stats(&self) -> Health {
        self.shared.health().await
    }

    /// Connects if there is no live connection.
    ///
    /// # Errors
    ///
    /// What the connection answers, and [`ErrorKind::Config`](crate::ErrorKind::Config) where the server can't do what
    /// the configuration requires.
    pub async fn ensure_connection(&self) -> Result<()> {
        self.shared
            .call("connect", || self.shared.base.ensure_connection())
            .await?;
        self.shared.connected()
    }

    /// Tells events from now on: connection lost and found, gaps, groups made again. A listener that falls behind
    /// by more than 256 events misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<BrokerEvent> {
        self.shared.events.subscribe()
    }

    /// Flushes publishers and acks, wakes blocked readers, and lets go. After it every call answers
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed). Doing it again, from whatever task, is fine.
    ///
    /// # Errors
    ///
    /// What the adapter answers; the broker is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the broker open or closed; calling it again goes on.
    pub async fn close(&self) -> Result<()> {
        for queue in self.shared.queues() {
            queue.flush().await;
        }
        for consumer in self.shared.all_consumers() {
            if let Err(error) = consumer.flush().await {
                tracing::warn!(%error, "acks were not sent before closing; their messages come again");
            }
        }
        let was_open = self.shared.close();
        self.shared.join_tasks().await;
        self.shared
            .consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.shared
            .publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        if !was_open {
            return Ok(());
        }
        let closing = tokio::time::timeout(self.shared.config.operation_timeout, self.shared.base.close());
        match closing.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(
                crate::ErrorKind::Timeout,
                "closing took too long (operation_timeout)",
            )),
        }
        .map_err(|error| error.operation("close").provider(self.shared.provider))
    }

    pub(super) fn stream_name<S>(&self, name: S, operation: &'static str) -> Result<StreamName>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        name.try_into()
            .map_err(|error| Error::from(error).operation(operation))
    }

    pub(super) fn group_name<G>(&self, name: G, operation: &'static str) -> Result<GroupName>
    where
        G: TryInto<GroupName>,
        Error: From<G::Error>,
    {
        name.try_into()
            .map_err(|error| Error::from(error).operation(operation))
    }
}

impl Shared {
    /// The broker's own member of a group, for reads by name.
    async fn consumer_of(self: &Arc<Self>, names: (StreamName, GroupName)) -> Result<Arc<Consumer>> {
        if let Some(consumer) = Self::resolved(&self.consumers, &names) {
            return Ok(consumer);
        }
        let member = Membership {
            stream: names.0.clone(),
            group: names.1.clone(),
            consumer: self.consumer.clone(),
            start: StartPosition::Earliest,
            ordering: Ordering::Publish,
            lease: self.config.message_timeout,
        };
        let consumer = self.join(member).await?;
        Ok(Self::keep(&self.consumers, names, consumer))
    }

    /// Resolves a member of a group.
    pub(super) async fn join(self: &Arc<Self>, member: Membership) -> Result<Arc<Consumer>> {
        let endpoint = match self.base.families().endpoints {
            Some(endpoints) => self.call("subscribe", || endpoints.reader(&member)).await?,
            None => {
                let make_group = ReadRequest {
                    member: &member,
                    max: 0,
                    wait: Duration::ZERO,
                };
                self.call("subscribe", || self.base.read(make_group)).await?;
                Arc::new(super::by_name::ReadByName {
                    base: Arc::clone(&self.base),
                    member: member.clone(),
                })
            }
        };
        let consumer = Arc::new(Consumer::new(Arc::clone(self), member, endpoint));
        self.add_subscribed(&consumer);
        Ok(consumer)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("name", &self.name())
            .field("provider", &self.provider())
            .field("capabilities", &format_args!("{}", self.capabilities()))
            .finish_non_exhaustive()
    }
}
