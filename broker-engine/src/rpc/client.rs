//! Asks, and waits for the answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::broker::{Broker, Subscription};
use broker_core::{Capabilities, Error, ErrorKind, GroupName, Message, Result, Retry, StreamName};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::{CURRENT_VERSION, REPLY_TO, REQUEST_ID, Response, VERSION};
use crate::layers::current;

/// Requests that may be under way at once unless told otherwise.
const IN_FLIGHT: usize = 1024;

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
    shared: Arc<Shared>,
    places: Semaphore,
    next: AtomicU64,
    reading: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<HashMap<String, oneshot::Sender<Result<Response>>>>,
    late: AtomicU64,
}

/// Configures a [`RequestClient`].
#[derive(Clone, Debug)]
#[must_use = "a client is made by build()"]
pub struct RequestClientBuilder {
    broker: Broker,
    in_flight: usize,
}

impl RequestClientBuilder {
    /// Sets how many requests may be under way at once; the default is 1,024. Beyond it asking waits, within its time.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests.max(1);
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
        let shared = Arc::<Shared>::default();
        let reading = tokio::spawn(read(answers, Arc::clone(&shared)));
        Ok(RequestClient(Arc::new(Inner {
            broker: self.broker,
            stream,
            shared,
            places: Semaphore::new(self.in_flight),
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
        tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                format!("no answer within {}", humantime::format_duration(timeout)),
            )
            .retry(Retry::Unknown)
            .operation("request")
            .with("stream", &stream))
        })
    }

    /// How many answers came after their requests had ended.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.0.shared.late.load(Ordering::Relaxed)
    }

    /// Ends the client, and removes its stream. Requests under way answer that it is closed.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn close(&self) -> Result<()> {
        self.0.places.close();
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
        self.0.shared.waiting().clear();
        match self.0.broker.delete_stream(&self.0.stream).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn ask(&self, stream: &StreamName, message: Message) -> Result<Response> {
        let inner = &*self.0;
        let closed = |_| Error::closed().operation("request");
        let _place = inner.places.acquire().await.map_err(closed)?;
        let id = inner.next.fetch_add(1, Ordering::Relaxed).to_string();
        let message = match current() {
            Some(current) => current.follow(message),
            None => message,
        };
        let message = message
            .header(REPLY_TO, inner.stream.to_string())
            .header(REQUEST_ID, id.clone())
            .header(VERSION, CURRENT_VERSION);
        let (answer, answered) = oneshot::channel();
        inner.shared.waiting().insert(id.clone(), answer);
        let _forget = Forget {
            shared: &inner.shared,
            id: &id,
        };
        inner.broker.publish(stream, message).await?;
        answered
            .await
            .unwrap_or_else(|_| Err(Error::closed().operation("request")))
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Result<Response>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that nobody waits for any more, however it ended.
struct Forget<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.waiting().remove(self.id);
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

async fn read(mut answers: Subscription, shared: Arc<Shared>) {
    while let Some(next) = answers.next().await {
        let delivery = match next {
            Ok(delivery) => delivery,
            Err(error) => {
                tracing::warn!(%error, "answers can't be read; trying again");
                continue;
            }
        };
        let id = delivery.headers().get_str(REQUEST_ID).ok().flatten();
        let waiting = id.and_then(|id| shared.waiting().remove(id));
        match waiting {
            // Who asked may have gone away between the two lines: that answer is late too.
            Some(waiting) => {
                if waiting.send(Response::read(delivery.message().clone())).is_err() {
                    shared.late.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => {
                shared.late.fetch_add(1, Ordering::Relaxed);
            }
        }
        delivery.ack_later();
    }
    shared.waiting().clear();
}
