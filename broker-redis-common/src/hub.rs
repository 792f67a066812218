//! One connection that listens to channels, for all who want to hear something.
//!
//! It connects when the first one asks, comes back by itself, subscribes again, and tells everybody about the gap.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use broker_core::{Error, ErrorKind, Result, Retry};
use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Msg, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::{Redis, error};

/// The longest wait between two attempts to come back.
const MOST: Duration = Duration::from_secs(1);

/// Somebody who listens.
pub trait Listener: Send + Sync {
    /// A message came.
    fn hear(&self, channel: &str, payload: &[u8]);
    /// Messages may have been missed between `since` and `lasted` later.
    fn missed(&self, since: SystemTime, lasted: Duration);
}

/// What can be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One channel.
    Channel(String),
    /// All channels that a pattern matches.
    Pattern(String),
}

type Listeners = Mutex<HashMap<Topic, Vec<Weak<dyn Listener>>>>;

struct Order {
    topic: Topic,
    confirmed: oneshot::Sender<Result<()>>,
}

/// The listening connection.
pub struct Hub {
    client: Arc<Redis>,
    keep_alive: Duration,
    listeners: Arc<Listeners>,
    task: Mutex<Option<(mpsc::UnboundedSender<Order>, JoinHandle<()>)>>,
}

impl Hub {
    /// A connection that is made when the first one asks to hear something, and probed each `keep_alive`.
    #[must_use]
    pub fn new(client: Arc<Redis>, keep_alive: Duration) -> Self {
        Self {
            client,
            keep_alive,
            listeners: Arc::default(),
            task: Mutex::default(),
        }
    }

    /// Lets `listener` hear `topic` for as long as it lives; returns once the server has confirmed that.
    ///
    /// # Errors
    ///
    /// That the server was not reached or refuses.
    pub async fn subscribe(&self, topic: Topic, listener: &Arc<dyn Listener>) -> Result<()> {
        self.client.check_open()?;
        lock(&self.listeners)
            .entry(topic.clone())
            .or_default()
            .push(Arc::downgrade(listener));
        let (confirmed, answer) = oneshot::channel();
        self.order(Order { topic, confirmed });
        let patience = self.client.response_timeout();
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::closed()),
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "the server did not confirm a subscription in time",
            )
            .retry(Retry::Safe)),
        }
    }

    /// Ends the connection.
    pub fn close(&self) {
        if let Some((_, task)) = lock(&self.task).take() {
            task.abort();
        }
    }

    fn order(&self, order: Order) {
        let mut running = lock(&self.task);
        let order = match &*running {
            Some((orders, task)) if !task.is_finished() => match orders.send(order) {
                Ok(()) => return,
                Err(mpsc::error::SendError(order)) => order,
            },
            _ => order,
        };
        let (orders, receiver) = mpsc::unbounded_channel();
        let _ = orders.send(order);
        let task = Task {
            client: Arc::clone(&self.client),
            keep_alive: self.keep_alive,
            listeners: Arc::clone(&self.listeners),
            orders: receiver,
            down: None,
        };
        *running = Some((orders, tokio::spawn(task.run())));
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close();
    }
}

struct Task {
    client: Arc<Redis>,
    keep_alive: Duration,
    listeners: Arc<Listeners>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// When the connection was last known to be alive, while there is none.
    down: Option<(SystemTime, Instant)>,
}

/// Why a connection was left.
enum Left {
    /// Nobody is there to order anything.
    Orphaned,
    /// It is lost, and was last known to be alive then.
    Lost(SystemTime, Instant),
}

impl Task {
    async fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            let connected = match self.client.listening().await {
                Ok(pubsub) => Ok(pubsub.split()),
                Err(error) => Err(error),
            };
            let failure = match connected {
                Ok((sink, stream)) => {
                    wait = Duration::ZERO;
                    match self.listen(sink, stream).await {
                        Left::Orphaned => return,
                        Left::Lost(since, at) => {
                            tracing::debug!("the listening connection was lost");
                            self.down.get_or_insert((since, at));
                            continue;
                        }
                    }
                }
                Err(failure) => failure,
            };
            if failure.kind() == ErrorKind::Closed {
                return;
            }
            while let Ok(order) = self.orders.try_recv() {
                let _ = order.confirmed.send(Err(failure.clone()));
            }
            wait = (wait * 2).clamp(Duration::from_millis(50), MOST);
            // Less by chance, so that many processes do not come back in step.
            let pause = wait.mul_f64(0.5 + fastrand::f64() / 2.0);
            let asked = tokio::time::timeout(pause, self.orders.recv()).await;
            match asked {
                Ok(None) => return,
                Ok(Some(order)) => self.hold(order),
                Err(_) => {}
            }
        }
    }

    /// An order that came while the server was away is tried by the next attempt, which subscribes to everything.
    fn hold(&self, order: Order) {
        let failure =
            Error::new(ErrorKind::Connection, "the listening connection is down").retry(Retry::Safe);
        let _ = order.confirmed.send(Err(failure));
    }

    async fn listen(&mut self, mut sink: PubSubSink, mut stream: PubSubStream) -> Left {
        let patience = self.client.response_timeout();
        let mut alive = (SystemTime::now(), Instant::now());
        let topics: Vec<Topic> = {
            let mut listeners = lock(&self.listeners);
            listeners.retain(|_, heard| heard.iter().any(|listener| listener.strong_count() > 0));
            listeners.keys().cloned().collect()
        };
        for topic in &topics {
            if subscribe(&mut sink, topic, patience).await.is_err() {
                return self.lost(alive);
            }
        }
        if let Some((since, at)) = self.down.take() {
            let lasted = at.elapsed();
            for listener in self.everybody() {
                listener.missed(since, lasted);
            }
        }
        let mut due = tokio::time::Instant::now() + self.keep_alive;
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    None => return self.lost(alive),
                    Some(message) => {
                        if let Some(orphan) = self.dispatch(&message) {
                            unsubscribe(&mut sink, &orphan, patience).await;
                        }
                    }
                },
                order = self.orders.recv() => match order {
                    None => return Left::Orphaned,
                    Some(Order { topic, confirmed }) => {
                        let answer = subscribe(&mut sink, &topic, patience).await;
                        let lost = answer.as_ref().is_err_and(error::ends_connection);
                        let _ = confirmed.send(answer);
                        if lost {
                            return self.lost(alive);
                        }
                    }
                },
                () = tokio::time::sleep_until(due) => {
                    match tokio::time::timeout(patience, sink.ping::<Value>()).await {
                        Ok(Ok(_)) => {}
                        _ => return self.lost(alive),
                    }
                }
            }
            // Whatever was heard is as good a sign of life as an answer to a ping.
            alive = (SystemTime::now(), Instant::now());
            due = tokio::time::Instant::now() + self.keep_alive;
        }
    }

    fn lost(&self, alive: (SystemTime, Instant)) -> Left {
        let (since, at) = self.down.unwrap_or(alive);
        Left::Lost(since, at)
    }

    /// Hands a message on; answers its topic where nobody wants it any more.
    fn dispatch(&self, message: &Msg) -> Option<Topic> {
        let channel = message.get_channel_name();
        let topic = if message.from_pattern() {
            Topic::Pattern(message.get_pattern::<String>().ok()?)
        } else {
            Topic::Channel(channel.to_owned())
        };
        let heard: Vec<_> = {
            let mut listeners = lock(&self.listeners);
            let Some(entry) = listeners.get_mut(&topic) else {
                return Some(topic);
            };
            entry.retain(|listener| listener.strong_count() > 0);
            if entry.is_empty() {
                listeners.remove(&topic);
                return Some(topic);
            }
            entry.iter().filter_map(Weak::upgrade).collect()
        };
        for listener in heard {
            listener.hear(channel, message.get_payload_bytes());
        }
        None
    }

    fn everybody(&self) -> Vec<Arc<dyn Listener>> {
        let mut all: Vec<Arc<dyn Listener>> = Vec::new();
        for listener in lock(&self.listeners).values().flatten().filter_map(Weak::upgrade) {
            if !all.iter().any(|known| Arc::ptr_eq(known, &listener)) {
                all.push(listener);
            }
        }
        all
    }
}

async fn subscribe(sink: &mut PubSubSink, topic: &Topic, patience: Duration) -> Result<()> {
    let asked = async {
        match topic {
            Topic::Channel(name) => sink.subscribe(name).await,
            Topic::Pattern(pattern) => sink.psubscribe(pattern).await,
        }
    };
    match tokio::time::timeout(patience, asked).await {
        // Subscribing twice is as good as once.
        Ok(answer) => answer.map_err(|failure| match error::from_redis(failure) {
            lost if lost.retry_class() == Retry::Unknown => lost.retry(Retry::Safe),
            certain => certain,
        }),
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            "the server did not confirm a subscription in time",
        )
        .retry(Retry::Safe)),
    }
}

/// Where this fails, the connection is about to be lost, and the next one does not ask for the topic.
async fn unsubscribe(sink: &mut PubSubSink, topic: &Topic, patience: Duration) {
    let asked = async {
        match topic {
            Topic::Channel(name) => sink.unsubscribe(name).await,
            Topic::Pattern(pattern) => sink.punsubscribe(pattern).await,
        }
    };
    let _ = tokio::time::timeout(patience, asked).await;
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
