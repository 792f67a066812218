//! The one loop: every call to an adapter is admitted, timed out, retried, traced and counted here.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::shared::Shared;
use crate::base::BoxFuture;
use crate::values::{Error, ErrorKind, Result, Retry};

/// Whether doing a call twice does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Twice is as good as once: reading, settling, asking.
    Idempotent,
    /// Twice may store a message twice.
    Publish,
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
        // Years from now is as good as never, and does not overflow the clock.
        let deadline = Instant::now() + budget.min(Duration::from_secs(86_400 * 365));
        Self {
            shared,
            operation,
            effect,
            deadline,
            backoff: None,
        }
    }

    /// Tries once: connects if needed, then runs `call` against the deadline and against closing.
    pub(super) async fn run<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.shared.admit(self.operation)?;
        if !self.shared.is_connected() {
            self.connect().await?;
        }
        let answer = match self
            .unless_closed(tokio::time::timeout_at(self.deadline, call))
            .await?
        {
            Ok(answer) => answer,
            Err(_) => Err(
                Error::new(ErrorKind::Timeout, "no answer in time (operation_timeout)").retry(Retry::Unknown),
            ),
        };
        self.shared.observe(&answer);
        answer.map_err(|error| self.named(error))
    }

    /// Decides on an error: waits for the back-off, or hands the error back as final.
    pub(super) async fn again(&mut self, error: Error) -> Result<()> {
        let may = match error.retry_class() {
            Retry::Safe => true,
            Retry::Unknown => self.effect == Effect::Idempotent || self.shared.config.retry_unknown,
            Retry::Never | Retry::Exhausted => false,
        };
        let config = &self.shared.config;
        let backoff = self.backoff.get_or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(config.operation_retry_delay)
                .with_max_delay(Duration::from_secs(1))
                .with_max_times(config.operation_retries as usize)
                .with_jitter()
                .build()
        });
        let delay = if may { backoff.next() } else { None };
        match delay {
            Some(delay) if Instant::now() + delay < self.deadline => {
                tracing::debug!(operation = self.operation, %error, ?delay, "trying again");
                self.unless_closed(tokio::time::sleep(delay)).await
            }
            _ => {
                self.shared.counters.failed_calls.add(1);
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<()> {
        let timeout = self.shared.config.connect_timeout;
        let connecting = tokio::time::timeout(timeout, self.shared.base.ensure_connection());
        let answer = match self.unless_closed(connecting).await? {
            Ok(answer) => answer,
            Err(_) => Err(
                Error::new(ErrorKind::Timeout, "no connection in time (connect_timeout)").retry(Retry::Safe),
            ),
        };
        self.shared.observe(&answer);
        answer.map_err(|error| self.named(error))?;
        self.shared.connected()
    }

    /// Runs `future`, unless the broker is closed meanwhile.
    async fn unless_closed<F: Future>(&self, future: F) -> Result<F::Output> {
        let mut future = pin!(future);
        let mut closing = pin!(self.shared.closing.notified());
        closing.as_mut().enable();
        self.shared.check_open(self.operation)?;
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            closing
                .as_mut()
                .poll(context)
                .map(|()| Err(self.named(Error::closed())))
        })
        .await
    }

    fn named(&self, error: Error) -> Error {
        error.operation(self.operation).provider(self.shared.provider)
    }
}

impl Shared {
    /// Makes an idempotent call, as often as it takes.
    pub(super) async fn call<'a, T>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        self.call_waiting(operation, Duration::ZERO, call).await
    }

    /// Makes an idempotent call that by its nature may wait.
    pub(super) async fn call_waiting<'a, T>(
        &'a self,
        operation: &'static str,
        wait: Duration,
        call: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let mut attempts = Attempts::new(self, operation, Effect::Idempotent, wait);
        loop {
            match attempts.run(call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.again(error).await?,
            }
        }
    }
}
