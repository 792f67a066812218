//! Publishing many messages to one stream.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::publish_queue::{Limits, PublishQueue};
use super::shared::Shared;
use super::spans::Publishing;
use super::turn::give_way;
use crate::values::{Error, Message, MessageId, Published, Result, StreamName};

/// After about this many messages stored at once, a sender gives way: asking for each costs a tenth of a message.
const SENDS_PER_TURN: u64 = 1024;

/// Publishes to one stream that was resolved once.
///
/// A message that the broker can store at once is stored at once. Others gather in a bounded queue and travel in
/// batches, those of many tasks together; when the queue is full, sending waits. Clones share the queue.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let publisher = broker.publisher("orders").build().await?;
///
/// let id = publisher.send(Message::text("one coffee")).await?; // resolves when the broker has it
/// println!("stored as {id}");
/// publisher.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Publisher {
    stream: StreamName,
    queue: Arc<Held>,
}

/// The queue, as its publishers hold it.
struct Held(Arc<PublishQueue>);

impl Deref for Held {
    type Target = Arc<PublishQueue>;

    fn deref(&self) -> &Arc<PublishQueue> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Publisher {
    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Publishes a message, and resolves when the broker has it.
    ///
    /// # Errors
    ///
    /// Why it is not stored, or may not be: [`Error::retry_class`] is [`Retry::Unknown`](crate::Retry::Unknown) where
    /// the broker may have it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it waits for room sends nothing; later, the message is sent all the same.
    pub fn send(&self, message: Message) -> impl Future<Output = Result<MessageId>> + Send {
        // The adapter takes the message out of the future itself: each move on the way would cost as much as storing it.
        let mut message = Some(message);
        async move {
            let shared = self.queue.shared();
            shared.check("publish")?;
            if let Err(error) = message
                .iter()
                .try_for_each(|message| shared.check_message(message))
            {
                shared.counters.publish_failed.add(1);
                return Err(error);
            }
            let publishing = Publishing::begin(shared, &self.stream, message.as_mut_slice());
            if self.queue.is_idle()
                && let Some(answer) = shared.try_publish_one(self.queue.endpoint(), &mut message)
            {
                publishing.end(&answer);
                // A task that only ever sends would never let another one run.
                if shared.counters.published.get().is_multiple_of(SENDS_PER_TURN) {
                    give_way().await;
                }
                return answer;
            }
            let message = message.take().unwrap_or_default();
            let (cell, index) = self.queue.enqueue(message).await?;
            let answer = cell.outcome(index).await.into_result();
            publishing.end(&answer);
            answer
        }
    }

    /// Publishes messages in order, with an outcome for each.
    ///
    /// # Errors
    ///
    /// Where nothing was tried: the broker is closed, or its circuit open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave any of the messages stored.
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<Published> {
        if !self.queue.is_idle() {
            self.queue.flush().await;
        }
        let published = self
            .queue
            .shared()
            .publish_checked(self.queue.endpoint(), &self.stream, messages)
            .await;
        // A task that only ever sends would never let another one run.
        tokio::task::coop::consume_budget().await;
        published
    }

    /// Waits until all that was sent before is stored or answered for.
    ///
    /// # Errors
    ///
    /// None today; the answers of single messages go to those who sent them.
    pub async fn flush(&self) -> Result<()> {
        self.queue.flush().await;
        Ok(())
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// How to publish to one stream; made by [`Broker::publisher`](super::Broker::publisher).
///
/// ```
/// use broker::prelude::*;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let publisher = broker
///     .publisher("readings")
///     .linger(Duration::from_millis(5)) // fuller batches, for a moment's wait
///     .buffer_bytes(8 * 1024 * 1024) // beyond it sending waits
///     .build()
///     .await?;
/// assert!(publisher.send_batch(vec![Message::text("21.5"), Message::text("21.6")]).await?.all_stored());
/// # Ok(())
/// # }
/// ```
#[must_use = "a publisher is made by build()"]
pub struct PublisherBuilder {
    shared: Arc<Shared>,
    stream: Result<StreamName>,
    limits: Limits,
}

impl PublisherBuilder {
    pub(super) fn new(shared: Arc<Shared>, stream: Result<StreamName>) -> Self {
        Self {
            shared,
            stream,
            limits: Limits {
                linger: Duration::ZERO,
                max_batch: 1000,
                buffer: 10_000,
                buffer_bytes: 64 * 1024 * 1024,
            },
        }
    }

    /// Sets how long a message that can't be stored at once may wait for company; the default is not at all: what
    /// gathers while a batch is on its way goes together.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.limits.linger = linger;
        self
    }

    /// Sets the most messages of one batch; the default is 1,000.
    pub fn max_batch(mut self, messages: usize) -> Self {
        self.limits.max_batch = messages.max(1);
        self
    }

    /// Sets the most messages that wait or are on their way; the default is 10,000. Beyond it sending waits.
    pub fn buffer(mut self, messages: usize) -> Self {
        self.limits.buffer = messages.max(1);
        self
    }

    /// Sets the most bytes that wait or are on their way; the default is 64 MiB. Beyond it sending waits; a message
    /// larger than that waits until it is alone.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.limits.buffer_bytes = bytes.max(1);
        self
    }

    /// Resolves the stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName), [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// without `PUBLISH`, and what the connection answers.
    pub async fn build(self) -> Result<Publisher> {
        let stream = self.stream.map_err(|error: Error| error.operation("publish"))?;
        let endpoint = self.shared.publish_endpoint(&stream).await?;
        Ok(Publisher {
            stream,
            queue: Arc::new(Held(PublishQueue::new(self.shared, endpoint, self.limits))),
        })
    }
}
