//! Asks, and waits for the answer.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::broker::{Broker, Subscription};
use broker_core::{Capabilities, Error, ErrorKind, GroupName, Message, Result, Retry, StreamName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::reply_queue::ReplyQueue;
use super::waiting::{Waiter, Waiting};
use super::{CURRENT_VERSION, REPLY_TO, REQUEST_ID, Response, VERSION};
use crate::layers::current;

/// Requests that may be under way at once unless told otherwise.
const IN_FLIGHT: usize = 1024;

/// Reply queues that may be in use at once unless told otherwise.
const REPLY_QUEUES: usize = 64;

/// The group that reads the answers.
const GROUP: &str = "client";

/// Asks, and waits for the answer, which comes on a stream of this client's own. Clones share it; one client serves many
/// tasks. The stream goes when the client is closed.
///
/// ```
/// use std::time::Duration;
///
/// use broker::prelude::*;
///
/// async fn price(Json(sku): Json<String>) -> Reply<u32> {
///     match sku.as_str() {
///         "coffee" => Reply::ok(350),
///         _ => Reply::error(400, format!("there is no {sku}")),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> broker::Result<()> {
/// let brokers = Brokers::builder().default(broker::inline::InlineConfig::default()).build()?;
/// let engine = Engine::builder(brokers.clone())
///     .subscribe(Subscriber::new("prices", "handlers").handle(price))
///     .keep_brokers_open()
///     .start()
///     .await?;
/// let client = RequestClient::new(&brokers["default"]).await?;
/// let answer = client.request("prices", Message::json("coffee")?, Duration::from_secs(2)).await?;
/// assert_eq!(answer.json::<u32>()?, 350);
/// client.close().await?;
/// # engine.stop().await?;
/// # brokers.close().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RequestClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    broker: Broker,
    stream: StreamName,
    waiting: Arc<Waiting>,
    in_flight: usize,
    places: Arc<Semaphore>,
    reply_queues: Arc<Semaphore>,
    next: AtomicU64,
    reading: Mutex<Option<JoinHandle<()>>>,
}

/// Which request of its client an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Configures a [`RequestClient`].
#[derive(Clone, Debug)]
#[must_use = "a client is made by build()"]
pub struct RequestClientBuilder {
    broker: Broker,
    in_flight: usize,
    reply_queues: usize,
}

impl RequestClientBuilder {
    /// Sets how many requests may be under way at once; the default is 1,024. Beyond it asking waits, within its time.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how many [reply queues](RequestClient::reply_queue) may be in use at once; the default is 64.
    pub fn reply_queues(mut self, queues: usize) -> Self {
        self.reply_queues = queues.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Makes the client, whose stream exists when this returns.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn build(self) -> Result<RequestClient> {
        let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        let stream = StreamName::new(format!("reply.{name}"))?;
        let answers = subscribe(&self.broker, &stream).await?;
        let waiting = Arc::<Waiting>::default();
        let reading = tokio::spawn(read(answers, Arc::clone(&waiting)));
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Ok(RequestClient(Arc::new(Inner {
            broker: self.broker,
            stream,
            waiting,
            in_flight: self.in_flight,
            places: semaphore(self.in_flight),
            reply_queues: semaphore(self.reply_queues),
            next: AtomicU64::new(0),
            reading: Mutex::new(Some(reading)),
        })))
    }
}

impl RequestClient {
    /// Makes a client with the default settings.
    ///
    /// # Errors
    ///
    /// As [`RequestClientBuilder::build`].
    pub async fn new(broker: &Broker) -> Result<Self> {
        Self::builder(broker).build().await
    }

    /// Begins to configure a client.
    pub fn builder(broker: &Broker) -> RequestClientBuilder {
        RequestClientBuilder {
            broker: broker.clone(),
            in_flight: IN_FLIGHT,
            reply_queues: REPLY_QUEUES,
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] where no answer comes in time, and what publishing answers. An answer that comes later is
    /// dropped, and [counted](Self::late).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the request under way; its answer is then late.
    pub async fn request<S>(&self, stream: S, message: Message, timeout: Duration) -> Result<Response>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = stream
            .try_into()
            .map_err(|error| Error::from(error).operation("request"))?;
        let asked = self.ask(&stream, message);
        let answered = tokio::time::timeout(timeout, asked).await;
        answered.unwrap_or_else(|_| Err(no_answer(timeout).operation("request").with("stream", &stream)))
    }

    /// A queue for the answers to several requests, which are received apart from sending. Where as many as the client
    /// allows are in use it waits for one to be dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] after the client was closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no place.
    pub async fn reply_queue(&self) -> Result<ReplyQueue> {
        let place = Arc::clone(&self.0.reply_queues).acquire_owned().await;
        let place = place.map_err(|_| Error::closed().operation("reply_queue"))?;
        Ok(ReplyQueue::new(self.clone(), place, self.0.in_flight))
    }

    /// How many answers came after their requests had ended.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.0.waiting.late()
    }

    /// Ends the client, and removes its stream. Requests under way answer that it is closed.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn close(&self) -> Result<()> {
        self.0.places.close();
        self.0.reply_queues.close();
        let reading = self
            .0
            .reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(reading) = reading {
            reading.abort();
            let _ = reading.await;
        }
        self.0.waiting.close();
        match self.0.broker.delete_stream(&self.0.stream).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn ask(&self, stream: &StreamName, message: Message) -> Result<Response> {
        let _place = self.place("request").await?;
        let id = self.next_id();
        let (answer, answered) = oneshot::channel();
        let _forget = Forget::new(self, id);
        self.publish(stream, message, id, Waiter::One(answer)).await?;
        answered
            .await
            .unwrap_or_else(|_| Err(Error::closed().operation("request")))
    }

    /// A place among the requests under way.
    pub(super) async fn place(&self, operation: &'static str) -> Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0.places).acquire_owned().await;
        place.map_err(|_| Error::closed().operation(operation))
    }

    pub(super) fn next_id(&self) -> RequestId {
        RequestId(self.0.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Publishes a request, whose answers go to `waiter`.
    pub(super) async fn publish(
        &self,
        stream: &StreamName,
        message: Message,
        id: RequestId,
        waiter: Waiter,
    ) -> Result<()> {
        let message = match current() {
            Some(current) => current.follow(message),
            None => message,
        };
        let message = message
            .header(REPLY_TO, self.0.stream.to_string())
            .header(REQUEST_ID, id.to_string())
            .header(VERSION, CURRENT_VERSION);
        self.0.waiting.add(id.to_string(), waiter)?;
        self.0.broker.publish(stream, message).await.map(drop)
    }

    pub(super) fn forget(&self, id: RequestId) {
        self.0.waiting.forget(&id.to_string());
    }
}

/// That no answer came in time; the request may have been handled all the same.
pub(super) fn no_answer(timeout: Duration) -> Error {
    let within = humantime::format_duration(timeout);
    Error::new(ErrorKind::Timeout, format!("no answer within {within}")).retry(Retry::Unknown)
}

/// A request that nobody waits for any more, however it ended.
pub(super) struct Forget<'a> {
    client: &'a RequestClient,
    /// None where it goes on.
    id: Option<RequestId>,
}

impl<'a> Forget<'a> {
    pub(super) fn new(client: &'a RequestClient, id: RequestId) -> Self {
        Self { client, id: Some(id) }
    }

    /// Somebody waits for it after all.
    pub(super) fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.client.forget(id);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(reading) = self
            .reading
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            reading.abort();
        }
    }
}

async fn subscribe(broker: &Broker, stream: &StreamName) -> Result<Subscription> {
    if broker.has_capability(Capabilities::CONSUMER_GROUPS) {
        broker.subscribe(stream, GroupName::new(GROUP)?).start().await
    } else {
        broker.listen(stream.as_str()).start().await
    }
}

async fn read(mut answers: Subscription, waiting: Arc<Waiting>) {
    while let Some(next) = answers.next().await {
        match next {
            Ok(delivery) => {
                waiting.answer(&delivery);
                delivery.ack_later();
            }
            Err(error) => tracing::warn!(%error, "answers can't be read; trying again"),
        }
    }
    waiting.close();
}
