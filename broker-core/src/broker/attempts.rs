//! The one loop: every call to an adapter is admitted, timed out, retried, traced and counted here.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::lifecycle::Stage;
use super::shared::Shared;
use crate::base::BoxFuture;
use crate::values::{Error, ErrorKind, Result, Retry};

/// The longest wait between two attempts, unless the first is configured to be longer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Years from now is as good as never, and does not overflow the clock.
pub(super) const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// What a call does: whether doing it twice harms, and whether it is still made while the broker drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Reading and asking: twice is as good as once, and a broker that closes cuts it short.
    Ask,
    /// Settling: twice is as good as once, and what was accepted goes out before the broker is closed.
    Settle,
    /// Storing: twice may store a message twice; what was accepted goes out before the broker is closed.
    Publish,
}

impl Effect {
    /// The stage of closing that ends it.
    fn ends_at(self) -> Stage {
        match self {
            Self::Ask => Stage::Draining,
            Self::Settle | Self::Publish => Stage::Closed,
        }
    }
}

/// The attempts at one call.
pub(super) struct Attempts<'a> {
    shared: &'a Shared,
    operation: &'static str,
    effect: Effect,
    deadline: Instant,
    backoff: Option<ExponentialBackoff>,
}

impl<'a> Attempts<'a> {
    /// Begins a call that may take `operation_timeout` and, on top of it, `wait`.
    pub(super) fn new(shared: &'a Shared, operation: &'static str, effect: Effect, wait: Duration) -> Self {
        let budget = shared.config.operation_timeout.saturating_add(wait);
        Self::within(shared, operation, effect, budget)
    }

    fn within(shared: &'a Shared, operation: &'static str, effect: Effect, budget: Duration) -> Self {
        Self {
            shared,
            operation,
            effect,
            deadline: Instant::now() + budget.min(NEVER),
            backoff: None,
        }
    }

    /// Tries once: connects if needed, then runs `call` against the deadline and against closing.
    pub(super) async fn run<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.admit()?;
        if !self.shared.is_connected() {
            self.connect(false).await?;
        }
        let timed = tokio::time::timeout_at(self.deadline, call);
        let answer = match self.shared.life.unless(self.effect.ends_at(), timed).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(self.too_slow("answer", "operation_timeout").retry(Retry::Unknown)),
            // It was under way: whether the messages are stored, nobody knows.
            None if self.effect == Effect::Publish => Err(Error::closed().retry(Retry::Unknown)),
            None => Err(Error::closed()),
        };
        self.shared.observe(&answer);
        answer.map_err(|error| self.named(error))
    }

    /// Decides on an error: waits for the back-off, or hands the error back as final.
    ///
    /// Boxed, as [`connect`](Self::connect) is: failing is rare, and every call would carry it along otherwise.
    pub(super) fn again(&mut self, error: Error) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.wait_to_try_again(error))
    }

    async fn wait_to_try_again(&mut self, error: Error) -> Result<()> {
        let may = match (error.kind(), error.retry_class()) {
            // The circuit answers at once: waiting for it to close is the caller's choice.
            (ErrorKind::Closed | ErrorKind::CircuitOpen, _) => false,
            (_, Retry::Safe) => true,
            (_, Retry::Unknown) => self.effect != Effect::Publish || self.shared.config.retry_unknown,
            (_, Retry::Never | Retry::Exhausted) => false,
        };
        let delay = if may { self.next_delay() } else { None };
        let in_time = |delay: &Duration| {
            Instant::now()
                .checked_add(*delay)
                .is_some_and(|then| then < self.deadline)
        };
        let Some(delay) = delay.filter(in_time) else {
            self.shared.counters.failed_calls.add(1);
            // One that may have been stored stays `Unknown`, which says more than that nobody tries again.
            let exhausted = may && !(self.effect == Effect::Publish && error.retry_class() == Retry::Unknown);
            return Err(if exhausted {
                error.retry(Retry::Exhausted)
            } else {
                error
            });
        };
        tracing::debug!(operation = self.operation, %error, ?delay, "trying again");
        let waited = self
            .shared
            .life
            .unless(self.effect.ends_at(), tokio::time::sleep(delay))
            .await;
        waited.ok_or_else(|| self.named(Error::closed()))
    }

    fn next_delay(&mut self) -> Option<Duration> {
        let config = &self.shared.config;
        self.backoff
            .get_or_insert_with(|| {
                ExponentialBuilder::new()
                    .with_min_delay(config.operation_retry_delay)
                    .with_max_delay(LONGEST_WAIT.max(config.operation_retry_delay))
                    .with_max_times(config.operation_retries as usize)
                    .with_jitter()
                    .build()
            })
            .next()
    }

    fn admit(&self) -> Result<()> {
        if self.shared.life.reached(self.effect.ends_at()) {
            return Err(self.named(Error::closed()));
        }
        if Handle::try_current().is_err() {
            return Err(self.named(Error::new(
                ErrorKind::Unexpected,
                "no tokio runtime is running here; call this from within one",
            )));
        }
        self.shared.breaker.admit().map_err(|error| self.named(error))
    }

    /// Connects; `anew` asks the adapter also where a connection is thought to be there.
    fn connect(&self, anew: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.connect_once(anew))
    }

    async fn connect_once(&self, anew: bool) -> Result<()> {
        let shared = self.shared;
        let connecting = async {
            // One task connects, and those that came with it find the connection there.
            let _turn = shared.connecting.acquire().await;
            if !anew && shared.is_connected() {
                return Ok(());
            }
            shared.base.ensure_connection().await
        };
        let deadline = self
            .deadline
            .min(Instant::now() + shared.config.connect_timeout.min(NEVER));
        let timed = tokio::time::timeout_at(deadline, connecting);
        let answer = match shared.life.unless(self.effect.ends_at(), timed).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(self.too_slow("connection", "connect_timeout").retry(Retry::Safe)),
            None => Err(Error::closed()),
        };
        // Within a call, only what the call itself answers says that the server is well.
        if anew || answer.is_err() {
            shared.observe(&answer);
        }
        match answer {
            Ok(()) => shared.connected(),
            // The call itself was not made yet: whatever became of the connection, nothing was stored.
            Err(error) if error.retry_class() == Retry::Unknown => Err(error.retry(Retry::Safe)),
            Err(error) => Err(error),
        }
        .map_err(|error| self.named(error))
    }

    fn too_slow(&self, what: &str, setting: &str) -> Error {
        let config = &self.shared.config;
        let allowed = match setting {
            "connect_timeout" => config.connect_timeout,
            _ => config.operation_timeout,
        };
        let allowed = humantime::format_duration(allowed);
        Error::new(
            ErrorKind::Timeout,
            format!("no {what} within {allowed} ({setting})"),
        )
    }

    fn named(&self, error: Error) -> Error {
        error.operation(self.operation).provider(self.shared.provider)
    }
}

impl Shared {
    /// Asks something, as often as it takes.
    pub(super) async fn call<'a, T>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let attempts = Attempts::new(self, operation, Effect::Ask, Duration::ZERO);
        self.repeat(attempts, call).await
    }

    /// Asks something that by its nature may wait.
    pub(super) async fn call_waiting<'a, T>(
        &'a self,
        operation: &'static str,
        wait: Duration,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let attempts = Attempts::new(self, operation, Effect::Ask, wait);
        self.repeat(attempts, call).await
    }

    /// Settles something, also while the broker drains.
    pub(super) async fn settle<'a, T>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let attempts = Attempts::new(self, operation, Effect::Settle, Duration::ZERO);
        self.repeat(attempts, call).await
    }

    /// Stores something that is not tried twice where nobody knows what became of it, also while the broker drains.
    pub(super) async fn store<'a, T>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let attempts = Attempts::new(self, operation, Effect::Publish, Duration::ZERO);
        self.repeat(attempts, call).await
    }

    /// Makes sure of the connection, within `connect_timeout` however often that is tried.
    pub(super) async fn ensure_connection(&self) -> Result<()> {
        let mut attempts = Attempts::within(self, "connect", Effect::Ask, self.config.connect_timeout);
        loop {
            attempts.admit()?;
            match attempts.connect(true).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    async fn repeat<'a, T>(
        &'a self,
        mut attempts: Attempts<'a>,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        loop {
            match attempts.run(call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.again(error).await?,
            }
        }
    }
}
