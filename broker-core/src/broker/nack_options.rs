//! How to refuse a delivery.

use std::time::Duration;

use crate::values::Failure;

/// How to refuse a delivery. By default the message comes again after the broker's back-off, and goes to the dead
/// letters when it has been delivered `max_retries` times more than once.
///
/// ```
/// use broker_core::broker::NackOptions;
///
/// let refuse = NackOptions::new().reason("mailbox full").delay(std::time::Duration::from_secs(30));
/// # let _ = refuse;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NackOptions {
    pub(super) failure: Failure,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// Again after the configured back-off, until the attempts are used up.
    #[default]
    Retry,
    /// Again after this delay, until the attempts are used up.
    RetryAfter(Duration),
    DeadLetter,
    Discard,
    GiveBack,
}

impl NackOptions {
    /// The default way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says why; the text is kept with the message and shown with the dead letter.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Failure>) -> Self {
        self.failure = reason.into();
        self
    }

    /// Says why by an error and its sources.
    #[must_use]
    pub fn error(self, error: &(dyn std::error::Error + 'static)) -> Self {
        self.reason(Failure::from_error(error))
    }

    /// Lets the message rest for `delay` in place of the configured back-off.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.fate = Fate::RetryAfter(delay);
        self
    }

    /// Sends the message to the dead letters now, whatever attempts are left.
    #[must_use]
    pub fn dead_letter(mut self) -> Self {
        self.fate = Fate::DeadLetter;
        self
    }

    /// Throws the message away.
    #[must_use]
    pub fn discard(mut self) -> Self {
        self.fate = Fate::Discard;
        self
    }

    /// Hands the message back unhandled: it is available at once and this delivery does not count as an attempt.
    #[must_use]
    pub fn give_back(mut self) -> Self {
        self.fate = Fate::GiveBack;
        self
    }
}
