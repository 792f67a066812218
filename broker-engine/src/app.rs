//! A service before it has brokers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::Brokers;

use crate::engine::{Engine, EngineBuilder};
use crate::observe::Observer;
use crate::retry::RetryPolicy;
use crate::subscriber::{Declared, linked};

/// A service before it has brokers: who handles what, and with which state. Its program runs it on the configured
/// brokers, and its tests on brokers of their own.
///
/// ```
/// use broker_engine::{App, RetryPolicy, Subscriber};
///
/// async fn bill() {}
///
/// fn service() -> App {
///     broker_engine::app().retry(RetryPolicy::attempts(5)).subscribe(Subscriber::new("orders", "billing").handle(bill))
/// }
/// # let _ = service();
/// ```
#[derive(Clone)]
#[must_use = "an app is run by its program's main, by an engine or by a test"]
pub struct App {
    declared: Vec<Declared>,
    discovers: bool,
    states: Vec<AddState>,
    retry: Option<RetryPolicy>,
    drain: Option<Duration>,
    observers: Vec<Arc<dyn Observer>>,
    traced: bool,
}

/// Adds a state, whose type only it knows.
type AddState = Arc<dyn Fn(EngineBuilder) -> EngineBuilder + Send + Sync>;

/// A service of every subscriber that the program's crates declare by attribute.
pub fn app() -> App {
    App::new()
}

impl App {
    /// A service of every subscriber that the program's crates declare by attribute.
    pub fn new() -> Self {
        Self {
            discovers: true,
            ..Self::empty()
        }
    }

    /// A service of the subscribers that are [given](Self::subscribe) to it, and no others.
    pub fn empty() -> Self {
        Self {
            declared: Vec::new(),
            discovers: false,
            states: Vec::new(),
            retry: None,
            drain: None,
            observers: Vec::new(),
            traced: false,
        }
    }

    /// Shares a value with all handlers, which take clones of it by [`State`](crate::State).
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states
            .push(Arc::new(move |builder| builder.state(value.clone())));
        self
    }

    /// Adds a subscriber.
    pub fn subscribe(mut self, subscriber: impl Into<Declared>) -> Self {
        self.declared.push(subscriber.into());
        self
    }

    /// Sets when failed messages are tried again, for subscribers that do not say so themselves.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Sets how long handlers may go on after a stop was asked for; the default is the engine's.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain = Some(timeout);
        self
    }

    /// Tells `observer` of each handling.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Makes a span for each handling, as a [`TracingLayer`](crate::layers::TracingLayer) below each subscriber would.
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// The names of the configured brokers that its subscribers are on.
    #[must_use]
    pub fn broker_names(&self) -> BTreeSet<String> {
        let all = self.subscribers().into_iter();
        all.map(|one| one.settings.broker.unwrap_or_else(|| "default".to_owned()))
            .collect()
    }

    /// Whether it has subscribers at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscribers().is_empty()
    }

    /// The engine that runs it on `brokers`.
    pub fn on(&self, brokers: Brokers) -> EngineBuilder {
        let mut builder = Engine::builder(brokers);
        for state in &self.states {
            builder = state(builder);
        }
        for mut one in self.subscribers() {
            for observer in &self.observers {
                one = one.observed(observer);
            }
            if self.traced {
                one = one.traced();
            }
            builder = builder.subscribe(one);
        }
        if let Some(policy) = &self.retry {
            builder = builder.retry(policy.clone());
        }
        if let Some(timeout) = self.drain {
            builder = builder.drain_timeout(timeout);
        }
        builder
    }

    fn subscribers(&self) -> Vec<Declared> {
        let mut all = self.declared.clone();
        if self.discovers {
            all.extend(linked());
        }
        all
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("declared", &self.declared)
            .field("discovers", &self.discovers)
            .finish_non_exhaustive()
    }
}
