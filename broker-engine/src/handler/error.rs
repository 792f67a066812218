//! What a handler's error says about trying again.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Any error of a handler, `anyhow::Error` included.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error that trying again can't mend: the message goes to the dead letters at once.
///
/// ```
/// use broker::engine::Permanent;
/// use broker::prelude::*;
///
/// async fn bill(Json(cups): Json<u32>) -> anyhow::Result<()> {
///     if cups == 0 {
///         return Err(Permanent::new("an order of nothing").into());
///     }
///     Ok(())
/// }
/// # let _ = Subscriber::new("orders", "billing").handle(bill);
/// ```
#[derive(Debug)]
pub struct Permanent(BoxError);

impl Permanent {
    /// Marks `error` as permanent.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Permanent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// An error that knows how long the message should rest before it is tried again.
///
/// ```
/// use std::time::Duration;
///
/// use broker::engine::RetryAfter;
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) -> Result<(), RetryAfter> {
///     Err(RetryAfter::new(Duration::from_secs(60), "the bank is closed"))
/// }
/// # let _ = Subscriber::new("orders", "billing").handle(bill);
/// ```
#[derive(Debug)]
pub struct RetryAfter {
    error: BoxError,
    delay: Duration,
}

impl RetryAfter {
    /// Lets the message rest for `delay`, in place of the policy's back-off.
    pub fn new(delay: Duration, error: impl Into<BoxError>) -> Self {
        Self {
            error: error.into(),
            delay,
        }
    }

    /// How long the message should rest.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for RetryAfter {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// A message that is not what its handler takes: no attempt at it can end better.
#[derive(Debug)]
pub struct Undecodable(BoxError);

impl Undecodable {
    /// Says why.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message can't be decoded: {}", self.0)
    }
}

impl StdError for Undecodable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}
