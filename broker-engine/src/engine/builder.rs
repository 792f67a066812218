//! Configures an engine.

use std::sync::Arc;
use std::time::Duration;

use broker_core::Result;
use broker_core::broker::Brokers;

use super::assemble::assemble;
use super::engine::{Engine, Inner};
use super::receipt::Receipt;
use crate::plan::{Plan, PlanEntry};
use crate::retry::RetryPolicy;
use crate::states::States;
use crate::subscriber::{Declared, linked};

/// How long handlers may go on after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(30);

/// Configures an engine; made by [`Engine::builder`].
///
/// ```
/// use broker::prelude::*;
/// use std::time::Duration;
///
/// #[derive(Clone)]
/// struct Till(u32);
///
/// async fn bill(Json(cups): Json<u32>, State(till): State<Till>) {
///     println!("{}", cups * till.0);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let engine = Engine::builder(Brokers::builder().default(broker::inline::InlineConfig::new()).build()?)
///     .state(Till(3))
///     .retry(RetryPolicy::attempts(5).delay(Duration::from_secs(1)))
///     .drain_timeout(Duration::from_secs(10))
///     .subscribe(Subscriber::new("orders", "billing").handle(bill))
///     .start()
///     .await?;
/// assert_eq!(engine.stop().await?.settled, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "an engine runs by run() or start()"]
#[derive(Debug)]
pub struct EngineBuilder {
    brokers: Brokers,
    states: States,
    declared: Vec<Declared>,
    retry: Option<RetryPolicy>,
    drain: Duration,
    dead_streams: bool,
    close_brokers: bool,
}

impl EngineBuilder {
    pub(super) fn new(brokers: Brokers) -> Self {
        Self {
            brokers,
            states: States::default(),
            declared: Vec::new(),
            retry: None,
            drain: DRAIN,
            dead_streams: true,
            close_brokers: true,
        }
    }

    /// Shares a value with all handlers, which take clones of it by [`State`](crate::State).
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(value);
        self
    }

    /// Adds a subscriber.
    pub fn subscribe(mut self, subscriber: impl Into<Declared>) -> Self {
        self.declared.push(subscriber.into());
        self
    }

    /// Adds every subscriber that the program's crates declare by attribute.
    pub fn discovered(mut self) -> Self {
        self.declared.extend(linked());
        self
    }

    /// Sets when failed messages are tried again, for subscribers that do not say so themselves.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Sets how long handlers may go on after a stop was asked for; the default is 30 s. What then still runs is cut off,
    /// and its messages come again.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain = timeout;
        self
    }

    /// Sets whether messages that are given up on a broker without dead letters are published to the stream
    /// `STREAM.GROUP.dead` of that broker; the default is yes.
    pub fn dead_letter_streams(mut self, on: bool) -> Self {
        self.dead_streams = on;
        self
    }

    /// Leaves the brokers open when the engine has stopped.
    pub fn keep_brokers_open(mut self) -> Self {
        self.close_brokers = false;
        self
    }

    /// What each subscriber would be guaranteed, without any I/O and whatever is required.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) for what is declared wrongly.
    pub fn plan(&self) -> Result<Plan> {
        let declared = self.declared.clone();
        let assembled = assemble(declared, &self.brokers, &self.states, self.retry.as_ref())?;
        Ok(Plan {
            entries: assembled
                .iter()
                .map(|one| PlanEntry::of(one, self.dead_streams))
                .collect(),
        })
    }

    /// Checks all that can be checked, joins the groups, and begins to handle messages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) for what is declared wrongly (two handlers for one kind, a
    /// state that is missing, flags that the broker has not), and what a connection answers. Nothing runs then.
    pub async fn start(self) -> Result<Engine> {
        let inner = Inner::new(
            self.brokers,
            Arc::new(self.states),
            self.retry,
            self.drain,
            self.dead_streams,
            self.close_brokers,
        );
        Engine::start(inner, self.declared).await
    }

    /// Runs until a signal asks the process to end, or a [handle](Engine::handle) says so; answers the receipt. A second
    /// signal cuts the handlers off.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn run(self) -> Result<Receipt> {
        self.start().await?.wait_for_signals().await
    }
}
