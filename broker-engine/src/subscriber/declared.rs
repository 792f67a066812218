//! A declared subscriber whose service's type is forgotten.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use broker_core::Result;
use tower_service::Service;

use super::settings::Settings;
use super::subscriber::Subscriber;
use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;
use crate::run::{Call, Slot};
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
    /// Makes what a lane calls: a clone of the service with room for one call.
    pub(crate) make: Arc<dyn Fn() -> Box<dyn Call> + Send + Sync>,
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
        // Services need not be shareable: each lane has a clone of its own.
        let service = Mutex::new(subscriber.service);
        let make = move || -> Box<dyn Call> {
            let service = service.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Box::new(Slot::new(service))
        };
        Self {
            settings: subscriber.settings,
            kinds: subscriber.kinds,
            handles_rest: subscriber.handles_rest,
            names: subscriber.names,
            checks: subscriber.checks,
            twice: subscriber.twice,
            make: Arc::new(make),
        }
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
