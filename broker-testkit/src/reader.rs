//! A subscription as checks read from it.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use broker_core::broker::Delivery;
use broker_core::{Message, MessageId, Subscription};
use tokio::time::Instant;

use crate::trial::unexpected;
use crate::{CheckResult, Stop};

/// A subscription as checks read from it: with a deadline, and settling as it goes.
#[derive(Debug)]
pub struct Reader {
    subscription: Subscription,
    eventual: Duration,
    quiet: Duration,
    acks: bool,
}

/// A message that was read and settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The broker's id.
    pub id: MessageId,
    /// The message.
    pub message: Message,
    /// The attempt it came with.
    pub attempt: u32,
    /// The stream it came from.
    pub stream: String,
}

impl Reader {
    pub(crate) fn new(subscription: Subscription, eventual: Duration, quiet: Duration, acks: bool) -> Self {
        Self {
            subscription,
            eventual,
            quiet,
            acks,
        }
    }

    /// The next delivery within `duration`, unsettled.
    ///
    /// # Errors
    ///
    /// What reading answers.
    pub async fn next_within(&mut self, duration: Duration) -> CheckResult<Option<Delivery>> {
        match tokio::time::timeout(duration, self.subscription.next()).await {
            Ok(Some(Ok(delivery))) => Ok(Some(delivery)),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => Err(Stop::failed("the subscription ended")),
            Err(_) => Ok(None),
        }
    }

    /// Takes `count` messages, settled as done where that is possible.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] where they do not come in time, and what reading answers.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> impl Future<Output = CheckResult<Vec<Received>>> {
        let place = Location::caller();
        async move {
            let until = Instant::now() + self.eventual * volume(count);
            let mut received = Vec::with_capacity(count);
            while received.len() < count {
                let left = until.saturating_duration_since(Instant::now());
                let Some(delivery) = self.next_within(left).await? else {
                    let came = received.len();
                    return Err(Stop::failed_at(
                        place,
                        format!("{came} of {count} messages came in time"),
                    ));
                };
                received.push(Received {
                    id: delivery.id(),
                    message: delivery.message().clone(),
                    attempt: delivery.attempt(),
                    stream: delivery.stream().to_string(),
                });
                if self.acks {
                    delivery.ack_later();
                }
            }
            Ok(received)
        }
    }

    /// Watches that nothing comes, for the quiet time.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] where something comes, and what reading answers.
    #[track_caller]
    pub fn nothing(&mut self) -> impl Future<Output = CheckResult> {
        let place = Location::caller();
        async move {
            match self.next_within(self.quiet).await? {
                Some(delivery) => Err(Stop::failed_at(place, unexpected(&delivery))),
                None => Ok(()),
            }
        }
    }

    /// The subscription itself.
    #[must_use]
    pub fn into_inner(self) -> Subscription {
        self.subscription
    }
}

/// How many times longer it may take until so many came: a busy machine is slow with all of them.
pub(crate) fn volume(count: usize) -> u32 {
    u32::try_from(count / 1_000).unwrap_or(u32::MAX).saturating_add(1)
}
