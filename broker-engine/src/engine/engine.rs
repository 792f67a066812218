//! A running engine.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::broker::Brokers;
use broker_core::{Capabilities, Error, ErrorKind, Result, StreamName};
use tokio::task::JoinSet;

use super::assemble::{Assembled, assemble};
use super::builder::EngineBuilder;
use super::receipt::{Receipt, SubscriberReceipt};
use super::signals;
use crate::context::Context;
use crate::retry::{Budget, RetryPolicy};
use crate::run::{Phase, RouteInfo, Runner, Stop, Strategy, Tally, Wiring, seed};
use crate::states::States;
use crate::subscriber::Declared;

/// Deliveries in hand unless a subscriber says otherwise: enough that reading never waits for a round trip.
const PREFETCH: usize = 256;

/// A running engine. Dropping it cuts the handlers off; [`stop`](Self::stop) ends them in order.
#[must_use = "a dropped engine stops at once"]
pub struct Engine {
    inner: Arc<Inner>,
    ended: bool,
}

/// A hold on a running engine, from wherever one is needed. Clones share it.
#[derive(Clone)]
pub struct EngineHandle(Arc<Inner>);

pub(super) struct Inner {
    brokers: Brokers,
    states: Arc<States>,
    retry: Option<RetryPolicy>,
    drain: Duration,
    dead_streams: bool,
    close_brokers: bool,
    stop: Stop,
    running: Mutex<Vec<Running>>,
    tasks: Mutex<JoinSet<()>>,
}

/// One running subscriber.
struct Running {
    broker: String,
    stream: String,
    group: String,
    tally: Arc<Tally>,
    stop: Stop,
    handlers: String,
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
            running: Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    async fn add(self: &Arc<Self>, declared: Vec<Declared>) -> Result<()> {
        let assembled = assemble(declared, &self.brokers, &self.states, self.retry.as_ref())?;
        self.check_running(&assembled)?;
        let mut runners = Vec::with_capacity(assembled.len());
        for one in assembled {
            let stop = Stop::new();
            let runner = self.runner(&one, &stop).await?;
            runners.push((one, stop, runner));
        }
        // All groups are joined: only now does any handler run.
        for (one, stop, runner) in runners {
            self.running().push(Running {
                broker: one.broker.name().to_owned(),
                stream: one.stream.to_string(),
                group: one.group.to_string(),
                tally: runner.tally(),
                stop,
                handlers: one.handlers(),
            });
            self.spawn(one, runner);
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
                    && other.stream == one.stream.as_str()
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
                .with("stream", &one.stream)
                .with("group", &one.group));
            }
        }
        Ok(())
    }

    fn spawn(&self, one: Assembled, runner: Runner) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            runner.run().await;
            if one.settings.remove_group {
                let removed = one.broker.delete_group(&one.stream, &one.group, true).await;
                if let Err(error) = removed {
                    tracing::warn!(%error, stream = %one.stream, group = %one.group, "the group was not removed");
                }
            }
        });
    }

    async fn runner(&self, one: &Assembled, stop: &Stop) -> Result<Runner> {
        let settings = &one.settings;
        let config = one.broker.config();
        let lanes = settings.concurrency.max(1);
        let routes: Vec<_> = one
            .declared
            .iter()
            .map(|declared| RouteInfo {
                kinds: declared.kinds.clone(),
                handles_rest: declared.handles_rest,
                timeout: declared.settings.timeout,
                retry: declared
                    .settings
                    .retry
                    .clone()
                    .unwrap_or_else(|| RetryPolicy::of(config)),
                undecodable: declared.settings.undecodable,
            })
            .collect();
        let attempts = routes.iter().map(|route| route.retry.attempts).max().unwrap_or(1);
        let budget = routes
            .iter()
            .map(|route| route.retry.budget)
            .fold(f64::NAN, f64::min);
        let mut subscription = one
            .broker
            .subscribe(&one.stream, &one.group)
            .start_at(settings.start.clone())
            .max_attempts(attempts);
        let settles = one.broker.has_capability(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        if let Some(prefetch) = settings.prefetch {
            subscription = subscription.prefetch(prefetch.max(lanes));
        } else if settles {
            subscription = subscription.prefetch(PREFETCH.max(lanes * 4));
        } else {
            // What was read ahead of a crash would be lost: no more than is being handled.
            subscription = subscription.prefetch(lanes);
        }
        if settings.sequential {
            subscription = subscription.sequential();
        }
        let lease = settings.lease.unwrap_or(config.message_timeout);
        let subscription = subscription
            .lease(lease)
            .start()
            .await
            .map_err(|error| error.with("stream", &one.stream).with("group", &one.group))?;
        let dead_stream = self.dead_streams.then(|| dead_stream(one)).transpose()?;
        let wiring = Wiring {
            context: Context::new(
                one.stream.clone(),
                one.group.clone(),
                one.broker.clone(),
                self.brokers.clone(),
                Arc::clone(&self.states),
            ),
            routes,
            strategy: Strategy::of(&one.broker, dead_stream),
            ack: settings.ack,
            ordered_by: settings.ordered_by,
            lease,
            tally: Arc::default(),
            seed: seed(),
        };
        let calls = || one.declared.iter().map(|declared| (declared.make)()).collect();
        Ok(Runner::new(
            subscription,
            wiring,
            lanes,
            Budget::new(budget),
            calls,
            &stop.listen(),
        ))
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
    /// As [`EngineBuilder::start`], and where a running subscriber handles the same messages.
    pub async fn add(&self, subscriber: impl Into<Declared>) -> Result<()> {
        if self.0.stop.phase() > Phase::Running {
            return Err(Error::closed().operation("add a subscriber"));
        }
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

/// Where the dead letters of a group are published to, on a broker that keeps none.
fn dead_stream(one: &Assembled) -> Result<StreamName> {
    StreamName::new(format!("{}.{}.dead", one.stream, one.group))
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
