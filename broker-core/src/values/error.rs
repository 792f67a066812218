//! The one error of the framework.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::Capabilities;

/// A result whose error is [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server can't be reached, or the connection was lost.
    Connection,
    /// No answer came in time.
    Timeout,
    /// This broker does not have the capability; see [`Error::capability`].
    Unsupported,
    /// The configuration is wrong.
    Config,
    /// The named thing is not there.
    NotFound,
    /// A stream, group or consumer name breaks the rules.
    InvalidName,
    /// The message itself can't be published or decoded.
    InvalidMessage,
    /// The payload is over the limit.
    TooLarge,
    /// The server refuses these credentials or this action.
    Permission,
    /// A bound was reached: try again later.
    Throttled,
    /// The receipt, lease or position belongs to the past.
    Stale,
    /// Another instance took this one's place, for good: stop, or open it anew and so fence the other.
    Fenced,
    /// The broker was closed.
    Closed,
    /// Too many failures in a row; calls are refused until the circuit half-opens.
    CircuitOpen,
    /// Anything else.
    Unexpected,
}

impl ErrorKind {
    /// The kind in words, as it opens an error's line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Config => "config",
            Self::NotFound => "not found",
            Self::InvalidName => "invalid name",
            Self::InvalidMessage => "invalid message",
            Self::TooLarge => "too large",
            Self::Permission => "permission",
            Self::Throttled => "throttled",
            Self::Stale => "stale",
            Self::Fenced => "fenced",
            Self::Closed => "closed",
            Self::CircuitOpen => "circuit open",
            Self::Unexpected => "unexpected",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether doing the same again may help, and whether it may do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// Nothing was done: trying again is harmless.
    Safe,
    /// It may have been done: trying again may do it twice.
    Unknown,
    /// It was tried as often as the policy allows.
    Exhausted,
}

/// An error with its kind, whether to retry, the operation, the provider, context and source.
///
/// `Display` is one line for people; `Debug` is the whole story. Cloning is a reference count.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://?capabilities=SIMPLE_QUEUING").await?;
/// let error = broker.dead_letters("orders", "billing").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// assert_eq!(error.capability(), Some(Capabilities::DEAD_LETTER_QUEUE));
/// assert!(!error.is_retryable());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: Cow<'static, str>,
    /// How much of the message names the place of a wrong setting.
    place: usize,
    operation: Option<&'static str>,
    provider: Option<Cow<'static, str>>,
    capability: Option<Capabilities>,
    context: Vec<(&'static str, String)>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that is not worth a retry, with a message in lower case and without a full stop.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retry = match kind {
            ErrorKind::Throttled | ErrorKind::CircuitOpen => Retry::Safe,
            _ => Retry::Never,
        };
        Self(Arc::new(Inner {
            kind,
            retry,
            message: message.into(),
            place: 0,
            operation: None,
            provider: None,
            capability: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// The broker does not have `capability`.
    #[must_use]
    pub fn unsupported(capability: Capabilities) -> Self {
        let mut error = Self::new(
            ErrorKind::Unsupported,
            format!("{capability} is not among its capabilities; choose a provider that has it"),
        );
        Arc::make_mut(&mut error.0).capability = Some(capability);
        error
    }

    /// The configuration is wrong at `place`, a file and a dotted path.
    #[must_use]
    pub fn config(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        let place = place.to_string();
        let mut error = Self::new(ErrorKind::Config, format!("{place}: {message}"));
        Arc::make_mut(&mut error.0).place = place.len();
        error
    }

    /// Says where the setting was written that a [`config`](Self::config) error names by its key alone.
    #[must_use]
    pub(crate) fn placed(mut self, place_of: impl FnOnce(&str) -> String) -> Self {
        if let Some((key, message)) = self
            .0
            .message
            .split_at_checked(self.0.place)
            .filter(|(key, _)| !key.is_empty())
        {
            let place = place_of(key);
            let message = format!("{place}{message}").into();
            let inner = Arc::make_mut(&mut self.0);
            (inner.place, inner.message) = (place.len(), message);
        }
        self
    }

    /// The broker was closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the broker is closed")
    }

    /// Says whether a retry may help.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        Arc::make_mut(&mut self.0).retry = retry;
        self
    }

    /// Names the operation that failed, unless a deeper layer already did.
    #[must_use]
    pub fn operation(mut self, operation: &'static str) -> Self {
        if self.0.operation.is_none() {
            Arc::make_mut(&mut self.0).operation = Some(operation);
        }
        self
    }

    /// Names the provider, unless a deeper layer already did.
    #[must_use]
    pub fn provider(mut self, provider: impl Into<Cow<'static, str>>) -> Self {
        if self.0.provider.is_none() {
            Arc::make_mut(&mut self.0).provider = Some(provider.into());
        }
        self
    }

    /// Adds a fact, such as the stream or the host. Never a secret.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        Arc::make_mut(&mut self.0).context.push((key, value.to_string()));
        self
    }

    /// Keeps the error below this one.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::from(source.into()));
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a retry may help.
    #[must_use]
    pub fn retry_class(&self) -> Retry {
        self.0.retry
    }

    /// Whether the same call may succeed later without doing anything twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retry == Retry::Safe
    }

    /// The capability that is missing, for [`ErrorKind::Unsupported`].
    #[must_use]
    pub fn capability(&self) -> Option<Capabilities> {
        self.0.capability
    }

    /// The name of the provider concerned.
    #[must_use]
    pub fn provider_name(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// The operation that failed.
    #[must_use]
    pub fn operation_name(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The message alone, without kind, operation and context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts added with [`with`](Self::with), in order.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        let inner = &*self.0;
        match (&inner.operation, &inner.provider) {
            (Some(operation), Some(provider)) => write!(line, "{operation} ({provider}): ")?,
            (Some(operation), None) => write!(line, "{operation}: ")?,
            (None, Some(provider)) => write!(line, "{provider}: ")?,
            (None, None) => {}
        }
        write!(line, "{}: {}", inner.kind, inner.message)?;
        if let Some(source) = &inner.source {
            write!(line, ": {source}")?;
        }
        let mut open = " (";
        for (key, value) in &inner.context {
            write!(line, "{open}{key}={value}")?;
            open = ", ";
        }
        if !inner.context.is_empty() {
            line.write_str(")")?;
        }
        Ok(())
    }
}

/// Escapes what would break a line or command a terminal: a server's message and a key in a file may hold anything.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            match piece.char_indices().next_back() {
                Some((at, last)) if last.is_control() => {
                    self.0.write_str(piece.get(..at).unwrap_or_default())?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        writeln!(f, "{self}")?;
        writeln!(f, "  kind: {:?}, retry: {:?}", inner.kind, inner.retry)?;
        if let Some(capability) = inner.capability {
            writeln!(f, "  missing: {capability}")?;
        }
        let mut source = StdError::source(self);
        while let Some(error) = source {
            writeln!(f, "  caused by: {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_everything_a_person_needs() {
        let error = Error::new(ErrorKind::Connection, "connect failed")
            .retry(Retry::Safe)
            .operation("publish")
            .provider("redis")
            .with("host", "127.0.0.1:6379")
            .source(std::io::Error::other("refused"));
        assert_eq!(
            error.to_string(),
            "publish (redis): connection: connect failed: refused (host=127.0.0.1:6379)"
        );
        assert!(error.is_retryable());
    }

    #[test]
    fn whatever_a_server_says_stays_on_the_line() {
        let error = Error::new(ErrorKind::Unexpected, "-ERR one\r\ntwo").with("key", "\u{1b}[2J\u{9b}é");
        assert_eq!(
            error.to_string(),
            r"unexpected: -ERR one\r\ntwo (key=\u{1b}[2J\u{9b}é)"
        );
    }

    #[test]
    fn the_deepest_layer_names_the_operation() {
        let error = Error::closed().operation("read").operation("publish");
        assert_eq!(error.operation_name(), Some("read"));
    }
}
