//! All that talks to the servers, but for reading and publishing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{BrokerEvent, Error, ErrorKind, Result, StreamName};
use rdkafka::admin::AdminClient;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::{Notify, oneshot};

use crate::config::KafkaConfig;
use crate::dead_index::DeadIndex;
use crate::endings::{Endings, apart};
use crate::error;
use crate::native::Native;
use crate::producer::Producer;
use crate::sessions::Sessions;
use crate::statistics::Statistics;
use crate::topic::Topic;

/// What is asked for when only a sign of life is wanted: a topic that every cluster with groups has.
const SIGN_OF_LIFE: &str = "__consumer_offsets";

/// What of a call's time is left to tell that it was up.
const MARGIN: Duration = Duration::from_millis(200);

/// One opened broker's clients.
pub(crate) struct Client {
    pub(crate) config: KafkaConfig,
    pub(crate) native: Native,
    pub(crate) context: OpenContext,
    pub(crate) sessions: Sessions,
    pub(crate) topics: Mutex<HashMap<StreamName, Arc<Topic>>>,
    /// What is known of dead letters, by their topics.
    pub(crate) dead: Mutex<HashMap<String, Arc<Mutex<DeadIndex>>>>,
    pub(crate) closing: Notify,
    pub(crate) endings: Endings,
    pub(crate) statistics: Arc<Statistics>,
    /// Messages that groups still needed and that are gone.
    pub(crate) lost: AtomicU64,
    closed: AtomicBool,
    connected: AtomicBool,
    asker: Mutex<Option<Arc<BaseConsumer<Quiet>>>>,
    admin: Mutex<Option<Arc<AdminClient<Quiet>>>>,
    producer: Mutex<Option<Arc<Producer>>>,
}

impl Client {
    pub(crate) fn new(config: KafkaConfig, native: Native, context: OpenContext) -> Self {
        Self {
            config,
            native,
            context,
            sessions: Sessions::default(),
            topics: Mutex::default(),
            dead: Mutex::default(),
            closing: Notify::new(),
            endings: Endings::default(),
            statistics: Arc::default(),
            lost: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            asker: Mutex::default(),
            admin: Mutex::default(),
            producer: Mutex::default(),
        }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        Ok(())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Asks for a sign of life, for at most `within`.
    pub(crate) async fn ping(self: &Arc<Self>, within: Duration) -> Result<()> {
        let within = within.saturating_sub(MARGIN).max(within / 2);
        let answer = self
            .ask_within(within, |asker, within| {
                asker.fetch_metadata(Some(SIGN_OF_LIFE), within).map(drop)
            })
            .await;
        let was = self.connected.swap(answer.is_ok(), Ordering::AcqRel);
        match &answer {
            Ok(()) => {}
            Err(error) if was && error.kind() == ErrorKind::Connection => {
                self.context.events.send(BrokerEvent::Disconnected {
                    reason: error.to_string(),
                });
            }
            Err(_) => {}
        }
        answer.map_err(|error| error.with("servers", self.config.servers()))
    }

    /// How long one question may take.
    pub(crate) fn patience(&self) -> Duration {
        let allowed = self.context.config.operation_timeout;
        allowed
            .saturating_sub(MARGIN)
            .max(allowed / 2)
            .min(Duration::from_secs(10))
    }

    /// Asks the servers something, on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&BaseConsumer<Quiet>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        self.ask_within(self.patience(), question).await
    }

    async fn ask_within<T: Send + 'static>(
        self: &Arc<Self>,
        within: Duration,
        question: impl FnOnce(&BaseConsumer<Quiet>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        self.check_open()?;
        let client = Arc::clone(self);
        blocking(move || {
            let asker = client.asker()?;
            let answer = question(&asker, within);
            // Its own queue has to be emptied now and then; what it says is in the answers too.
            while asker.poll(Duration::ZERO).is_some() {}
            answer.map_err(|error| error::from_kafka(&error))
        })
        .await
    }

    /// The client that asks; it may block while it is made.
    pub(crate) fn asker(&self) -> Result<Arc<BaseConsumer<Quiet>>> {
        once(&self.asker, || self.native.common.create_with_context(Quiet))
    }

    /// The client that makes and removes things.
    pub(crate) async fn admin(self: &Arc<Self>) -> Result<Arc<AdminClient<Quiet>>> {
        self.check_open()?;
        let client = Arc::clone(self);
        blocking(move || once(&client.admin, || client.native.common.create_with_context(Quiet))).await
    }

    /// The producer; one that failed for good is replaced.
    pub(crate) async fn producer(self: &Arc<Self>) -> Result<Arc<Producer>> {
        self.check_open()?;
        if let Some(producer) = lock(&self.producer)
            .as_ref()
            .filter(|producer| !producer.has_failed())
        {
            return Ok(Arc::clone(producer));
        }
        let client = Arc::clone(self);
        blocking(move || {
            let mut producer = lock(&client.producer);
            match producer.as_ref().filter(|producer| !producer.has_failed()) {
                Some(producer) => Ok(Arc::clone(producer)),
                None => {
                    let new = Arc::new(Producer::new(&client.native, &client.statistics)?);
                    *producer = Some(Arc::clone(&new));
                    Ok(new)
                }
            }
        })
        .await
    }

    /// Whether a producer is there and works; `None` before the first message.
    pub(crate) fn producer_warning(&self) -> Option<String> {
        let producer = lock(&self.producer);
        producer.as_ref().filter(|producer| producer.has_failed())?;
        Some("the producer failed for good and is replaced with the next message".to_owned())
    }

    /// Lets go of everything, within the configured time.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.closing.notify_waiters();
        // The one who waits for this gives up after `operation_timeout`.
        let allowed = self.context.config.operation_timeout;
        let within = self
            .config
            .close_timeout
            .min(allowed.saturating_sub(MARGIN).max(allowed / 2));
        let deadline = tokio::time::Instant::now() + within;
        self.sessions.close(deadline).await;
        if !first {
            return Ok(());
        }
        let clients = self.take_clients();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let own = Arc::clone(self);
        let (done, ended) = oneshot::channel();
        // On a thread of its own: what takes longer than that must not keep the runtime from ending.
        drop(apart(move || {
            clients.end(left);
            own.endings.join();
            let _ = done.send(());
        }));
        let _ = tokio::time::timeout_at(deadline, ended).await;
        Ok(())
    }

    fn take_clients(&self) -> Clients {
        Clients {
            asker: lock(&self.asker).take(),
            admin: lock(&self.admin).take(),
            producer: lock(&self.producer).take(),
        }
    }
}

impl Drop for Client {
    /// Clients of the library block while they end: that is done elsewhere.
    fn drop(&mut self) {
        self.sessions.abandon();
        let clients = self.take_clients();
        if !clients.is_empty() {
            // Nobody is left to wait for it.
            drop(apart(move || clients.end(Duration::ZERO)));
        }
    }
}

/// What blocks while it ends.
struct Clients {
    asker: Option<Arc<BaseConsumer<Quiet>>>,
    admin: Option<Arc<AdminClient<Quiet>>>,
    producer: Option<Arc<Producer>>,
}

impl Clients {
    fn is_empty(&self) -> bool {
        self.asker.is_none() && self.admin.is_none() && self.producer.is_none()
    }

    fn end(self, within: Duration) {
        if let Some(producer) = &self.producer {
            producer.flush(within);
        }
        drop(self);
    }
}

/// A client's context that tells the library's log to `tracing`.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    /// It is not asked for them, unless the library's own setting says so.
    fn stats_raw(&self, _text: &[u8]) {}

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tell(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Quiet {}

/// Passes a line of the library's log on. What it repeats while a server is away is not worth more than a hint.
pub(crate) fn tell(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice if facility != "FAIL" => {
            tracing::warn!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// Runs what may block on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => {
            Err(Error::new(ErrorKind::Unexpected, "a thread of this provider failed").source(error))
        }
    }
}

fn once<T>(place: &Mutex<Option<Arc<T>>>, make: impl FnOnce() -> KafkaResult<T>) -> Result<Arc<T>> {
    let mut place = lock(place);
    if let Some(there) = place.as_ref() {
        return Ok(Arc::clone(there));
    }
    let new = Arc::new(make().map_err(|error| error::from_kafka(&error))?);
    *place = Some(Arc::clone(&new));
    Ok(new)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
