//! What a handler does wrong without answering.

use std::any::Any;
use std::time::Duration;

/// A handler that panicked: its message is tried again like after any failure.
#[derive(Debug)]
pub(super) struct Panicked(String);

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the handler panicked: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

/// A handler that took too long.
#[derive(Debug)]
pub(super) struct TimedOut(pub(super) Duration);

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the handler did not end within {} (timeout)",
            humantime::format_duration(self.0)
        )
    }
}

impl std::error::Error for TimedOut {}

impl Panicked {
    /// What a panic said.
    pub(super) fn of(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "with a value that is no text".to_owned()))
    }
}
