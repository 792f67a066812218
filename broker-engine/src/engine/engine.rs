//! A running engine.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::broker::Brokers;
use broker_core::{Error, ErrorKind, Result};
use tokio::task::JoinSet;

use super::assemble::{Assembled, assemble};
use super::builder::EngineBuilder;
use super::join::Joined;
use super::receipt::{Receipt, SubscriberReceipt};
use super::signals;
use crate::plan::{Plan, PlanEntry};
use crate::retry::RetryPolicy;
use crate::run::{Phase, Stop, Tally};
use crate::states::States;
use crate::subscriber::Declared;

/// A running engine. Dropping it cuts the handlers off; [`stop`](Self::stop) ends them in order.
///
/// ```
/// use broker::prelude::*;
///
/// async fn bill(Json(cups): Json<u32>) {
///     println!("{cups} cups");
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> anyhow::Result<()> {
/// let brokers = Brokers::builder().default(broker::inline::InlineConfig::default()).build()?;
/// let engine = Engine::builder(brokers.clone())
///     .subscribe(Subscriber::new("orders", "billing").handle(bill))
///     .start() // or .run(), which goes on until a signal
///     .await?;
/// brokers.publish("orders", Message::json(&2)?).await?;
/// brokers["default"].wait_until_drained("orders", "billing", std::time::Duration::from_secs(5)).await?;
/// assert_eq!(engine.stop().await?.settled, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "a dropped engine stops at once"]
pub struct Engine {
    inner: Arc<Inner>,
    ended: bool,
}

/// A hold on a running engine, from wherever one is needed. Clones share it.
#[derive(Clone)]
pub struct EngineHandle(Arc<Inner>);

pub(super) struct Inner {
    pub(super) brokers: Brokers,
    pub(super) states: Arc<States>,
    retry: Option<RetryPolicy>,
    drain: Duration,
    pub(super) dead_streams: bool,
    close_brokers: bool,
    stop: Stop,
    plan: Mutex<Plan>,
    running: Mutex<Vec<Running>>,
    tasks: Mutex<JoinSet<()>>,
    /// Who adds subscribers: between the look at those that run and the new ones' running nobody else adds any.
    adding: tokio::sync::Mutex<()>,
}

/// One running subscriber.
pub(super) struct Running {
    pub(super) broker: String,
    pub(super) stream: String,
    pub(super) group: String,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: Stop,
    pub(super) handlers: String,
}

impl Inner {
    pub(super) fn new(
        brokers: Brokers,
        states: Arc<States>,
        retry: Option<RetryPolicy>,
        drain: Duration,
        dead_streams: bool,
        close_brokers: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            brokers,
            states,
            retry,
            drain,
            dead_streams,
            close_brokers,
            stop: Stop::new(),
            plan: Mutex::default(),
            running: Mutex::default(),
            tasks: Mutex::default(),
            adding: tokio::sync::Mutex::default(),
        })
    }

    async fn add(self: &Arc<Self>, declared: Vec<Declared>) -> Result<()> {
        let _alone = self.adding.lock().await;
        let assembled = assemble(declared, &self.brokers, &self.states, self.retry.as_ref())?;
        self.check_running(&assembled)?;
        let plan = Plan {
            entries: assembled
                .iter()
                .map(|one| PlanEntry::of(one, self.dead_streams))
                .collect(),
        };
        plan.check()?;
        let mut joined = Vec::with_capacity(assembled.len());
        for one in assembled {
            joined.push(Joined::new(self, one).await?);
        }
        let mut running = self.running();
        // Under the lock: whoever stops the engine from now on finds the new ones among those that run.
        if self.stop.phase() > Phase::Running {
            return Err(Error::closed().operation("add a subscriber"));
        }
        // All groups are joined: only now does any handler run.
        for entry in plan.entries {
            tracing::info!("subscribed: {entry}");
            self.plan
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entries
                .push(entry);
        }
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for one in joined {
            running.push(one.running());
            tasks.spawn(one.run());
        }
        Ok(())
    }

    /// Refuses subscribers whose group is running already: which of the two a message goes to would be chance.
    fn check_running(&self, assembled: &[Assembled]) -> Result<()> {
        let running = self.running();
        for one in assembled {
            let clash = running.iter().find(|other| {
                other.stop.phase() == Phase::Running
                    && other.broker == one.broker.name()
                    && other.stream == one.source.to_string()
                    && other.group == one.group.as_str()
            });
            if let Some(other) = clash {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "the group is running already: {} and {}; stop one, or give one another group",
                        other.handlers,
                        one.handlers()
                    ),
                )
                .with("stream", &one.source)
                .with("group", &one.group));
            }
        }
        Ok(())
    }

    fn advance(&self, phase: Phase) {
        self.stop.advance(phase);
        for one in self.running().iter() {
            one.stop.advance(phase);
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receipt(&self) -> Receipt {
        let running = self.running();
        let subscribers = running.iter().map(|one| SubscriberReceipt {
            stream: one.stream.clone(),
            group: one.group.clone(),
            tally: one.tally.snapshot(),
        });
        Receipt::of(subscribers.collect())
    }

    /// Waits until every subscriber has ended.
    async fn join(&self) {
        std::future::poll_fn(|context| {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                match std::task::ready!(tasks.poll_join_next(context)) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::error!(%error, "a subscriber's task ended badly"),
                    None => return std::task::Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

impl Engine {
    /// Begins to configure an engine.
    pub fn builder(brokers: Brokers) -> EngineBuilder {
        EngineBuilder::new(brokers)
    }

    pub(super) async fn start(inner: Arc<Inner>, declared: Vec<Declared>) -> Result<Self> {
        inner.brokers.connect().await?;
        inner.add(declared).await?;
        Ok(Self { inner, ended: false })
    }

    /// A hold on it, to stop it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        EngineHandle(Arc::clone(&self.inner))
    }

    /// What was done so far.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.inner.receipt()
    }

    /// What each subscriber is guaranteed.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.inner
            .plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops: reads no more, lets handlers end within the drain's time with publishers still open, hands back what was
    /// read ahead, closes the brokers; answers what was done.
    ///
    /// # Errors
    ///
    /// What closing a broker answers; everything has ended all the same.
    pub async fn stop(mut self) -> Result<Receipt> {
        self.inner.advance(Phase::Draining);
        self.end().await
    }

    /// Waits until a [handle](Self::handle) stops it.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub async fn wait(mut self) -> Result<Receipt> {
        self.inner.stop.listen().reached(Phase::Draining).await;
        self.end().await
    }

    /// Waits until a signal asks the process to end, or a handle stops it; a second signal cuts the handlers off.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub async fn wait_for_signals(mut self) -> Result<Receipt> {
        tokio::select! {
            () = self.inner.stop.listen().reached(Phase::Draining) => {}
            () = signals::next() => {
                tracing::info!("stopping; a second signal cuts the handlers off");
                self.inner.advance(Phase::Draining);
            }
        }
        let inner = Arc::clone(&self.inner);
        let mut ending = std::pin::pin!(self.end());
        tokio::select! {
            receipt = &mut ending => return receipt,
            () = signals::next() => inner.advance(Phase::Aborting),
        }
        ending.await
    }

    async fn end(&mut self) -> Result<Receipt> {
        let inner = &self.inner;
        if tokio::time::timeout(inner.drain, inner.join()).await.is_err() {
            tracing::warn!(after = ?inner.drain, "handlers are cut off; their messages come again");
            inner.advance(Phase::Aborting);
            inner.join().await;
        }
        self.ended = true;
        let receipt = inner.receipt();
        tracing::info!(%receipt, "stopped");
        if inner.close_brokers {
            inner.brokers.close().await?;
        }
        Ok(receipt)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.advance(Phase::Aborting);
        }
    }
}

impl EngineHandle {
    /// Asks the engine to stop, as [`Engine::stop`] does; also from inside a handler.
    pub fn stop(&self) {
        self.0.advance(Phase::Draining);
    }

    /// Cuts off what still runs.
    pub fn abort(&self) {
        self.0.advance(Phase::Aborting);
    }

    /// What was done so far.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.0.receipt()
    }

    /// Adds a subscriber while the engine runs.
    ///
    /// # Errors
    ///
    /// As [`EngineBuilder::start`], where a running subscriber handles the same messages, and
    /// [`ErrorKind::Closed`] once the engine stops.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the group joined, with no handler running.
    pub async fn add(&self, subscriber: impl Into<Declared>) -> Result<()> {
        self.0.add(vec![subscriber.into()]).await
    }

    /// Stops the subscribers of a stream and group; answers how many there were.
    pub fn remove(&self, stream: &str, group: &str) -> usize {
        let running = self.0.running();
        let those = running
            .iter()
            .filter(|one| one.stream == stream && one.group == group && one.stop.phase() == Phase::Running);
        those.map(|one| one.stop.advance(Phase::Draining)).count()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("receipt", &self.receipt())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle")
            .field("receipt", &self.receipt())
            .finish_non_exhaustive()
    }
}
