//! A declared subscriber whose service's type is forgotten.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use broker_core::Result;
use tower_service::Service;

use super::settings::Settings;
use super::subscriber::Subscriber;
use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes};
use crate::incoming::Incoming;
use crate::run::{BatchCall, Batching, Call, Slot};
use crate::states::States;

/// A declared subscriber whose service's type is forgotten; made of a [`Subscriber`].
#[derive(Clone)]
pub struct Declared {
    pub(crate) settings: Settings,
    pub(crate) kinds: Vec<Arc<str>>,
    pub(crate) handles_rest: bool,
    pub(crate) names: Vec<String>,
    pub(crate) checks: Vec<fn(&States) -> Result<()>>,
    pub(crate) twice: Option<String>,
    pub(crate) make: Make,
}

/// Makes what a lane calls: a clone of the service with room for one call.
#[derive(Clone)]
pub(crate) enum Make {
    /// For one message at a time.
    Single(Arc<dyn Fn() -> Box<dyn Call> + Send + Sync>),
    /// For batches.
    Batched(Batching, Arc<dyn Fn() -> Box<dyn BatchCall> + Send + Sync>),
}

impl Declared {
    /// Names the handlers as they are written in the source.
    #[doc(hidden)]
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.names = vec![name.into()];
        self
    }
}

impl<S> From<Subscriber<S>> for Declared
where
    S: Service<Incoming, Response = Outcome> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn from(subscriber: Subscriber<S>) -> Self {
        let make = |service: Clones<S>| -> Arc<dyn Fn() -> Box<dyn Call> + Send + Sync> {
            Arc::new(move || Box::new(Slot::new(service.next())))
        };
        Self::new(subscriber, |service, _| Make::Single(make(service)))
    }
}

impl<S> From<Subscriber<S, IncomingBatch>> for Declared
where
    S: Service<IncomingBatch, Response = Outcomes> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn from(subscriber: Subscriber<S, IncomingBatch>) -> Self {
        let make = |service: Clones<S>| -> Arc<dyn Fn() -> Box<dyn BatchCall> + Send + Sync> {
            Arc::new(move || Box::new(Slot::new(service.next())))
        };
        Self::new(subscriber, |service, batching| {
            Make::Batched(batching, make(service))
        })
    }
}

impl Declared {
    fn new<S, R>(subscriber: Subscriber<S, R>, make: impl FnOnce(Clones<S>, Batching) -> Make) -> Self {
        Self {
            make: make(Clones(Mutex::new(subscriber.service)), subscriber.batching),
            settings: subscriber.settings,
            kinds: subscriber.kinds,
            handles_rest: subscriber.handles_rest,
            names: subscriber.names,
            checks: subscriber.checks,
            twice: subscriber.twice,
        }
    }
}

/// Clones of a service, one for each lane: services need not be shareable.
struct Clones<S>(Mutex<S>);

impl<S: Clone> Clones<S> {
    fn next(&self) -> S {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declared")
            .field("settings", &self.settings)
            .field("kinds", &self.kinds)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
