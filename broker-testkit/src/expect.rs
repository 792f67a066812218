//! What checks expect of answers.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use broker_core::{Capabilities, Error, ErrorKind, Message, Result};

use crate::{CheckResult, Stop};

/// The error of an answer that has to be one of this kind.
///
/// # Errors
///
/// [`Stop::Failed`] where the answer is `Ok`, or an error of another kind.
#[track_caller]
pub fn refused<T>(answer: Result<T>, kind: ErrorKind, what: &str) -> CheckResult<Error> {
    match answer {
        Ok(_) => Err(Stop::failed(format!("{what}: expected `{kind}`, got Ok"))),
        Err(error) if error.kind() != kind => {
            Err(Stop::failed(format!("{what}: expected `{kind}`, got: {error}")))
        }
        Err(error) => Ok(error),
    }
}

/// Checks that an operation without its flag is refused within a second, by an error that names flag and provider.
///
/// # Errors
///
/// [`Stop::Failed`] where it is not.
#[track_caller]
pub fn unsupported<'a, T>(
    flag: Capabilities,
    provider: &'a str,
    what: &'a str,
    call: impl Future<Output = Result<T>> + 'a,
) -> impl Future<Output = CheckResult> + 'a {
    let place = Location::caller();
    async move {
        let fail = |reason: String| Stop::failed_at(place, format!("{what}: {reason}"));
        let Ok(answer) = tokio::time::timeout(Duration::from_secs(1), call).await else {
            return Err(fail("no answer within 1s".to_owned()));
        };
        let error = match answer {
            Ok(_) => return Err(fail("expected `unsupported`, got Ok".to_owned())),
            Err(error) => error,
        };
        let named = error.capability().is_some_and(|named| named.contains(flag));
        if error.kind() != ErrorKind::Unsupported || !named || error.provider_name() != Some(provider) {
            return Err(fail(format!(
                "expected `unsupported` that names {flag} and {provider}, got: {error}"
            )));
        }
        Ok(())
    }
}

/// Awaits what has to happen within `duration`.
///
/// # Errors
///
/// [`Stop::Failed`] where it takes longer.
#[track_caller]
pub fn within<T>(
    duration: Duration,
    what: &str,
    call: impl Future<Output = T>,
) -> impl Future<Output = CheckResult<T>> {
    let place = Location::caller();
    async move {
        match tokio::time::timeout(duration, call).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(Stop::failed_at(
                place,
                format!("{what} took longer than {duration:?}"),
            )),
        }
    }
}

/// Checks that a message came as it was published: payload, key, headers in their order, id, kind and content type.
///
/// # Errors
///
/// [`Stop::Failed`] that names the first part that differs.
#[track_caller]
pub fn same(actual: &Message, published: &Message, what: &str) -> CheckResult {
    let parts = |message: &Message| {
        [
            ("payload", format!("{:?}", message.payload())),
            ("key", format!("{:?}", message.message_key())),
            ("headers", format!("{:?}", message.headers())),
            ("id", format!("{:?}", message.message_id())),
            ("kind", format!("{:?}", message.message_kind())),
            ("content type", format!("{:?}", message.media_type())),
        ]
    };
    for ((part, actual), (_, expected)) in parts(actual).iter().zip(&parts(published)) {
        if actual != expected {
            let at = actual
                .bytes()
                .zip(expected.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            return Err(Stop::failed(format!(
                "{what}: the {part} differs: expected {}, got {}",
                excerpt(expected, at),
                excerpt(actual, at)
            )));
        }
    }
    Ok(())
}

/// The part of a long text around `at`.
fn excerpt(text: &str, at: usize) -> String {
    const AROUND: usize = 60;
    if text.len() <= 2 * AROUND {
        return text.to_owned();
    }
    let skipped = text.chars().skip(at.saturating_sub(AROUND)).take(2 * AROUND);
    format!("…{}… ({} characters)", skipped.collect::<String>(), text.len())
}
