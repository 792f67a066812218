//! How a request ended.

use std::fmt;

/// How a request ended, as it is written in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// It was done.
    pub const SUCCESS: Self = Self(200);
    /// The asker is wrong.
    pub const ERROR: Self = Self(400);
    /// The one who was asked failed.
    pub const SYSTEM_ERROR: Self = Self(500);
    /// Nobody knows.
    pub const UNKNOWN: Self = Self(600);

    /// Whether it was done.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self.0, 200..=299)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.0 {
            200..=299 => "success",
            400..=499 => "error",
            500..=599 => "system error",
            _ => "unknown",
        };
        write!(f, "{} {word}", self.0)
    }
}
