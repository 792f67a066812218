//! An opened broker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::attempts::NEVER;
use super::batch::Batch;
use super::dead_letter_queue::DeadLetterQueue;
use super::delivery::Delivery;
use super::members::Members;
use super::nack_options::NackOptions;
use super::publish::unanswered;
use super::publisher::PublisherBuilder;
use super::shared::Shared;
use super::subscribe::{ListenBuilder, SubscribeBuilder};
use super::transaction::Transactor;
use crate::base::Source;
use crate::config::BrokerConfig;
use crate::values::{
    BrokerEvent, Capabilities, Error, GroupName, Health, LostCapability, Message, MessageId, Published,
    Receipt, ReceiptRun, Result, Settled, StreamName, StreamPattern, TransactorName,
};

/// An opened broker under its configured name. Clones share it.
///
/// Opening does no I/O: the first call connects. Every method may be called from many tasks at once. Where an
/// operation needs a capability that this broker has not, it answers
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) at once.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.publish("orders", Message::text("one coffee").key("customer-3")).await?;
///
/// for delivery in broker.read("orders", "billing", 10).await? {
///     assert_eq!(delivery.payload().as_ref(), b"one coffee");
///     delivery.ack().await?;
/// }
/// broker.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Broker {
    pub(super) shared: Arc<Shared>,
    pub(super) members: Arc<Members>,
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

    /// The settings that every broker has, as they are in force here.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.shared.config
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
        published.outcome(0).unwrap_or_else(unanswered).into_result()
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
        self.shared.publish_checked(&*endpoint, &stream, messages).await
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
        let consumer = self.members.member(&self.shared, names).await?;
        let deliveries = if consumer.try_send_acks() {
            consumer.read(max, wait).await?
        } else {
            consumer
                .apart(|consumer| async move { consumer.read(max, wait).await })
                .await?
        };
        Ok(Batch::new(consumer, deliveries))
    }

    /// Collects `count` messages, or as many as come within `timeout`; a broker without `BLOCKING_READ` is polled.
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
        let names = (self.stream_name(stream, "read")?, self.group_name(group, "read")?);
        self.shared.need(Capabilities::CONSUMER_GROUPS, "read")?;
        let consumer = self.members.member(&self.shared, names).await?;
        let until = Instant::now() + timeout.min(NEVER);
        let mut received = Vec::new();
        while received.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            let missing = count - received.len();
            let reading =
                consumer.apart(|consumer| async move { consumer.read_patiently(missing, left).await });
            let deliveries = reading.await?;
            if deliveries.is_empty() {
                break;
            }
            received.extend(Batch::new(Arc::clone(&consumer), deliveries));
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
        let settler = self.members.settler(&self.shared, &names);
        let answer = settler.ack(&[ReceiptRun::from(receipt)]).await?;
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
        self.members
            .settler(&self.shared, &names)
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

    /// Opens the transactor called `name`, which commits publishes and acks together; who opened it before is fenced.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `TRANSACTIONS`, a bad name, and what the
    /// connection answers.
    pub async fn transactor<N>(&self, name: N) -> Result<Transactor>
    where
        N: TryInto<TransactorName>,
        Error: From<N::Error>,
    {
        self.shared.need(Capabilities::TRANSACTIONS, "open transactor")?;
        let name = name
            .try_into()
            .map_err(|error| Error::from(error).operation("open transactor"))?;
        Transactor::open(&self.shared, name).await
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
        self.shared.ensure_connection().await
    }

    /// Tells events from now on: connection lost and found, gaps, groups made again. A listener that falls behind
    /// by more than 256 events misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<BrokerEvent> {
        self.shared.events.subscribe()
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

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("name", &self.name())
            .field("provider", &self.provider())
            .field("capabilities", &format_args!("{}", self.capabilities()))
            .finish_non_exhaustive()
    }
}
