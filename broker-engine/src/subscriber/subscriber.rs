//! Declares a subscriber by hand.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Capabilities, Result, StartPosition};
use tower_layer::Layer;

use super::routes::{NoRoute, Otherwise, Route};
use super::settings::{AckPolicy, AtEnd, OnUndecodable, OrderedBy, Settings};
use crate::handler::{BatchHandler, BatchHandlerService, Handler, HandlerService, IncomingBatch};
use crate::incoming::Incoming;
use crate::retry::RetryPolicy;
use crate::run::Batching;
use crate::states::States;

/// Declares who handles the messages of a stream as members of a group.
///
/// ```
/// use broker_engine::{Json, Subscriber};
///
/// async fn welcome(Json(address): Json<String>) {}
///
/// let subscriber = Subscriber::new("user-events", "welcome").on("user.registered", welcome).concurrency(8);
/// # let _ = subscriber;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a subscriber is run by an engine: `.subscribe(subscriber)`"]
pub struct Subscriber<S = NoRoute, R = Incoming> {
    pub(super) service: S,
    /// What the service is called with: a message, or a batch.
    request: PhantomData<fn(R)>,
    pub(super) batching: Batching,
    pub(super) settings: Settings,
    /// The kinds that have a handler of their own.
    pub(super) kinds: Vec<Arc<str>>,
    /// Whether there is a handler for all other kinds.
    pub(super) handles_rest: bool,
    /// The handlers' names, as errors and the plan show them.
    pub(super) names: Vec<String>,
    pub(super) checks: Vec<fn(&States) -> Result<()>>,
    /// A kind that was given twice.
    pub(super) twice: Option<String>,
}

impl Subscriber {
    /// A subscriber without handlers yet. Names are checked when the engine starts. A `*` in the stream's name stands
    /// for any run of characters but `.`.
    pub fn new(stream: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            service: NoRoute,
            request: PhantomData,
            batching: Batching {
                size: 1,
                linger: Duration::ZERO,
            },
            settings: Settings::new(stream.into(), group.into()),
            kinds: Vec::new(),
            handles_rest: false,
            names: Vec::new(),
            checks: Vec::new(),
            twice: None,
        }
    }

    /// Handles messages of every kind in batches of up to `size`: the handler takes a `Vec`, and may answer an outcome for
    /// each message. A batch is what is there when the handler can take it; [`linger`](Subscriber::linger) waits for more.
    ///
    /// With several [at once](Subscriber::concurrency), no two batches have messages of the same key. A panic or a timeout
    /// is that of each message in the batch.
    ///
    /// ```
    /// use broker_engine::{Json, Outcome, Subscriber};
    ///
    /// async fn index(addresses: Vec<Json<String>>) -> Vec<Outcome> {
    ///     addresses.iter().map(|Json(address)| match address.contains('@') {
    ///         true => Outcome::Ack,
    ///         false => Outcome::dead_letter("not an address"),
    ///     }).collect()
    /// }
    ///
    /// let subscriber = Subscriber::new("user-events", "index").batch(100, index);
    /// # let _ = subscriber;
    /// ```
    pub fn batch<Args, H: BatchHandler<Args>>(
        mut self,
        size: usize,
        handler: H,
    ) -> Subscriber<BatchHandlerService<H, Args>, IncomingBatch> {
        self.handles_rest = true;
        self.in_batches(size, handler)
    }

    /// As [`batch`](Self::batch), for the messages of one kind; others are skipped, and counted.
    pub fn batch_on<Args, H: BatchHandler<Args>>(
        mut self,
        kind: impl Into<Arc<str>>,
        size: usize,
        handler: H,
    ) -> Subscriber<BatchHandlerService<H, Args>, IncomingBatch> {
        self.kinds.push(kind.into());
        self.in_batches(size, handler)
    }

    fn in_batches<Args, H: BatchHandler<Args>>(
        mut self,
        size: usize,
        handler: H,
    ) -> Subscriber<BatchHandlerService<H, Args>, IncomingBatch> {
        self.batching.size = size.max(1);
        self.names.push(std::any::type_name::<H>().to_owned());
        self.checks.push(H::check);
        self.with(|_| BatchHandlerService::new(handler))
    }
}

impl<S> Subscriber<S, IncomingBatch> {
    /// Sets how long the first message of a batch may wait for company while there is room; the default is not at all,
    /// which makes batches of what piles up while the handler is busy.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.batching.linger = linger;
        self
    }
}

impl<S> Subscriber<S> {
    /// Handles the messages of one kind.
    pub fn on<Args, H: Handler<Args>>(
        mut self,
        kind: impl Into<Arc<str>>,
        handler: H,
    ) -> Subscriber<Route<HandlerService<H, Args>, S>> {
        let kind = kind.into();
        if self.kinds.contains(&kind) {
            self.twice.get_or_insert_with(|| kind.to_string());
        }
        self.kinds.push(Arc::clone(&kind));
        self.add::<Args, H>();
        self.with(|service| Route::new(kind, HandlerService::new(handler), service))
    }

    /// Handles the messages of every kind that has no handler of its own, those without a kind included.
    pub fn handle<Args, H: Handler<Args>>(
        mut self,
        handler: H,
    ) -> Subscriber<Otherwise<S, HandlerService<H, Args>>> {
        if std::mem::replace(&mut self.handles_rest, true) {
            self.twice.get_or_insert_with(|| "any other kind".to_owned());
        }
        self.add::<Args, H>();
        let kinds = self.kinds.as_slice().into();
        self.with(|service| Otherwise::new(kinds, service, HandlerService::new(handler)))
    }

    fn add<Args, H: Handler<Args>>(&mut self) {
        self.names.push(std::any::type_name::<H>().to_owned());
        self.checks.push(H::check);
    }
}

impl<S, R> Subscriber<S, R> {
    /// Wraps the handlers given so far in a tower layer.
    pub fn layer<L: Layer<S>>(self, layer: L) -> Subscriber<L::Service, R> {
        self.with(|service| layer.layer(service))
    }

    /// Subscribes on another configured broker than `default`.
    pub fn broker(mut self, name: impl Into<String>) -> Self {
        self.settings.broker = Some(name.into());
        self
    }

    /// Sets how many messages are handled at once; the default is one. Those of one key never overlap.
    pub fn concurrency(mut self, lanes: usize) -> Self {
        self.settings.concurrency = lanes.max(1);
        self
    }

    /// Sets what stays in order where several messages are handled at once; the default is each key.
    pub fn ordered_by(mut self, order: OrderedBy) -> Self {
        self.settings.ordered_by = order;
        self
    }

    /// Parks the key of a failing message until that is settled, on a broker with `MESSAGE_ORDERING`.
    pub fn sequential(mut self) -> Self {
        self.settings.sequential = true;
        self
    }

    /// Sets how many messages may be in hand at once, read ahead or being handled.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.settings.prefetch = Some(messages.max(1));
        self
    }

    /// Sets how long a delivery may stay unsettled; it is prolonged while the handler runs, where the broker can.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = Some(lease);
        self
    }

    /// Sets how long a handler may take; then it is dropped, and the message is tried again.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// Sets when failed messages are tried again; the default is the engine's, and else the broker's settings.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = Some(policy);
        self
    }

    /// Refuses to start on a broker without these flags.
    pub fn require(mut self, capabilities: Capabilities) -> Self {
        self.settings.require |= capabilities;
        self
    }

    /// Sets when a message is settled as done.
    pub fn ack(mut self, policy: AckPolicy) -> Self {
        self.settings.ack = policy;
        self
    }

    /// Sets what becomes of a message that is not what its handler takes.
    pub fn on_undecodable(mut self, policy: OnUndecodable) -> Self {
        self.settings.undecodable = policy;
        self
    }

    /// Sets where the group starts if it is not there yet; the default is the earliest message kept.
    pub fn start_at(mut self, start: StartPosition) -> Self {
        self.settings.start = start;
        self
    }

    /// Removes the group when the subscriber ends: for short-lived ones.
    pub fn remove_group_at_end(mut self) -> Self {
        self.settings.at_end = self.settings.at_end.max(AtEnd::RemoveGroup);
        self
    }

    /// Removes the stream when the subscriber ends, with all its messages, groups and dead letters: for short-lived streams
    /// of one's own, such as those of replies and tests. The engine does not start on a broker that can't show its streams.
    pub fn remove_stream_at_end(mut self) -> Self {
        self.settings.at_end = AtEnd::RemoveStream;
        self
    }

    fn with<T, Q>(self, wrap: impl FnOnce(S) -> T) -> Subscriber<T, Q> {
        Subscriber {
            service: wrap(self.service),
            request: PhantomData,
            batching: self.batching,
            settings: self.settings,
            kinds: self.kinds,
            handles_rest: self.handles_rest,
            names: self.names,
            checks: self.checks,
            twice: self.twice,
        }
    }
}
