//! The one table from the client library's errors to ours.

use std::time::Duration;

use broker_core::{Error, ErrorKind, Retry};
use redis::{RedisError, ServerError};

/// What a failed call means.
///
/// A lost connection says nothing about whether the server did what it was asked, so its retry class is `Unknown`; a
/// refusal by the server is certain, and most are worth another try later.
#[must_use]
pub fn from_redis(error: RedisError) -> Error {
    if error.is_connection_refusal() {
        return connect(error);
    }
    if error.is_timeout() {
        return Error::new(ErrorKind::Timeout, "the server did not answer in time").retry(Retry::Unknown);
    }
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed => {
            Error::new(ErrorKind::Permission, "the server refuses the credentials").source(plain(&error))
        }
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
            from_code(error.code().unwrap_or("ERR"), error.detail().unwrap_or_default())
        }
        redis::ErrorKind::Parse => Error::new(
            ErrorKind::Connection,
            "the answer is not Redis's protocol; check host and port",
        )
        .retry(Retry::Unknown)
        .source(plain(&error)),
        redis::ErrorKind::InvalidClientConfig => {
            Error::new(ErrorKind::Config, "the connection's settings are not usable").source(plain(&error))
        }
        redis::ErrorKind::RESP3NotSupported => Error::new(
            ErrorKind::Unsupported,
            "the server is older than Redis 6; use 6.2 or newer",
        ),
        redis::ErrorKind::UnexpectedReturnType | redis::ErrorKind::Client => Error::new(
            ErrorKind::Unexpected,
            "the server answered with something else than asked for",
        )
        .source(plain(&error)),
        _ => Error::new(ErrorKind::Connection, "the connection was lost")
            .retry(Retry::Unknown)
            .source(plain(&error)),
    }
}

/// What a failed attempt to connect means: certainly nothing was done.
pub(crate) fn connect(error: RedisError) -> Error {
    match error.kind() {
        redis::ErrorKind::Io | redis::ErrorKind::Parse => {
            let kind = if error.is_timeout() {
                ErrorKind::Timeout
            } else {
                ErrorKind::Connection
            };
            Error::new(kind, "connecting failed")
                .retry(Retry::Safe)
                .source(plain(&error))
        }
        _ => match from_redis(error) {
            lost if lost.retry_class() == Retry::Unknown => lost.retry(Retry::Safe),
            certain => certain,
        },
    }
}

/// What a refusal inside a pipeline means.
#[must_use]
pub fn from_server(error: &ServerError) -> Error {
    from_code(error.code(), error.details().unwrap_or_default())
}

/// The read's outer deadline passed: the server is silent.
#[must_use]
pub fn silent(after: Duration) -> Error {
    Error::new(
        ErrorKind::Connection,
        format!("no answer to a blocking read within {after:?}"),
    )
    .retry(Retry::Unknown)
}

/// The answer does not have the shape that the command's documentation promises.
#[must_use]
pub fn odd_reply(command: &'static str) -> Error {
    Error::new(
        ErrorKind::Unexpected,
        format!("the server's answer to {command} has an unknown shape"),
    )
}

/// Whether the group or its stream is gone.
#[must_use]
pub fn is_missing_group(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Whether the connection is of no use any more.
#[must_use]
pub fn ends_connection(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout)
}

fn from_code(code: &str, detail: &str) -> Error {
    // A server before Redis 7 wraps a script's error, with the real code in the middle of its text.
    let code = WRAPPED
        .into_iter()
        .find(|inner| code == "ERR" && detail.contains(&format!("{inner} ")))
        .unwrap_or(code);
    // Redis has no code of its own for this.
    let missing = ["no such key", "requires the key to exist"];
    if code == "ERR" && missing.iter().any(|text| detail.contains(text)) {
        return Error::new(ErrorKind::NotFound, "there is no such stream").source(detail.to_owned());
    }
    let (kind, retry, line) = match code {
        // The second is what a blocked reader is told when the stream is removed.
        "NOGROUP" | "UNBLOCKED" => (
            ErrorKind::NotFound,
            Retry::Never,
            "there is no such stream or group",
        ),
        "WRONGTYPE" => (
            ErrorKind::Unexpected,
            Retry::Never,
            "the key holds something of another type; choose another name",
        ),
        "NOPERM" => return forbidden(detail),
        "NOAUTH" => (
            ErrorKind::Permission,
            Retry::Never,
            "the server wants a password; set `password`, and `username` where it has users",
        ),
        "WRONGPASS" => (
            ErrorKind::Permission,
            Retry::Never,
            "the server refuses the credentials",
        ),
        "OOM" => (ErrorKind::Throttled, Retry::Safe, "the server is out of memory"),
        "BUSY" | "TRYAGAIN" | "MISCONF" | "NOREPLICAS" => (
            ErrorKind::Throttled,
            Retry::Safe,
            "the server can't do that at the moment",
        ),
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" => {
            (ErrorKind::Connection, Retry::Safe, "the server is not ready yet")
        }
        "READONLY" => (
            ErrorKind::Connection,
            Retry::Safe,
            "the server is a replica; connect to the primary",
        ),
        "ASK" => (
            ErrorKind::Throttled,
            Retry::Safe,
            "the cluster is moving this stream's slot",
        ),
        "MOVED" => (
            ErrorKind::Config,
            Retry::Never,
            "the server is part of a cluster; set `cluster = true`",
        ),
        "CROSSSLOT" => (
            ErrorKind::Unexpected,
            Retry::Never,
            "the keys of one command lie on several nodes of the cluster",
        ),
        _ => (
            ErrorKind::Unexpected,
            Retry::Never,
            "the server refuses the command",
        ),
    };
    Error::new(kind, line)
        .retry(retry)
        .source(format!("{code} {detail}").trim_end().to_owned())
}

/// The codes that a script's error may carry inside its text.
const WRAPPED: [&str; 7] = [
    "NOGROUP",
    "WRONGTYPE",
    "OOM",
    "READONLY",
    "NOPERM",
    "MISCONF",
    "NOREPLICAS",
];

/// The ACL refuses: the server's own words name the command, the key or the channel.
fn forbidden(detail: &str) -> Error {
    // In a script's error they are in the middle.
    let words = ["User ", "this user ", "The user "]
        .into_iter()
        .filter_map(|begin| detail.find(begin).and_then(|at| detail.get(at..)))
        .max_by_key(|words| words.len());
    let words = words.unwrap_or(detail).trim_end();
    Error::new(
        ErrorKind::Permission,
        format!("the server's ACL refuses: {words}; grant the right, or log in as another user"),
    )
}

/// The library's line, without the structure behind it.
fn plain(error: &RedisError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_its_kind_and_retry_class() {
        for (code, detail, kind, retry) in [
            ("NOGROUP", "No such key", ErrorKind::NotFound, Retry::Never),
            (
                "ERR",
                "Error running script: @user_script:1: NOGROUP No such key",
                ErrorKind::NotFound,
                Retry::Never,
            ),
            ("OOM", "command not allowed", ErrorKind::Throttled, Retry::Safe),
            ("READONLY", "You can't write", ErrorKind::Connection, Retry::Safe),
            ("LOADING", "", ErrorKind::Connection, Retry::Safe),
            ("MASTERDOWN", "", ErrorKind::Connection, Retry::Safe),
            ("CLUSTERDOWN", "", ErrorKind::Connection, Retry::Safe),
            ("TRYAGAIN", "", ErrorKind::Throttled, Retry::Safe),
            ("ASK", "3999 h:1", ErrorKind::Throttled, Retry::Safe),
            ("MOVED", "3999 h:1", ErrorKind::Config, Retry::Never),
            ("CROSSSLOT", "", ErrorKind::Unexpected, Retry::Never),
            ("MISCONF", "", ErrorKind::Throttled, Retry::Safe),
            ("NOAUTH", "", ErrorKind::Permission, Retry::Never),
            ("WRONGPASS", "", ErrorKind::Permission, Retry::Never),
            ("NOPERM", "", ErrorKind::Permission, Retry::Never),
            ("WRONGTYPE", "", ErrorKind::Unexpected, Retry::Never),
        ] {
            let error = from_code(code, detail);
            assert_eq!((error.kind(), error.retry_class()), (kind, retry), "{code}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn a_missing_right_is_told_in_the_servers_words() {
        for (code, detail, words) in [
            (
                "NOPERM",
                "User app has no permissions to run the 'xadd' command",
                "User app has no permissions to run the 'xadd' command; grant",
            ),
            (
                "NOPERM",
                "this user has no permissions to run the 'xadd' command or its subcommand",
                "this user has no permissions to run the 'xadd' command or its subcommand; grant",
            ),
            (
                "ERR",
                "Error running script (call to f_1): @user_script:3: NOPERM ACL failure in script: User app has no \
                 permissions to run the 'xpending' command",
                "refuses: User app has no permissions to run the 'xpending' command; grant",
            ),
        ] {
            let error = from_code(code, detail);
            assert_eq!(
                (error.kind(), error.retry_class()),
                (ErrorKind::Permission, Retry::Never)
            );
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_lost_connection_leaves_the_outcome_open_and_a_refused_one_does_not() {
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(from_redis(lost).retry_class(), Retry::Unknown);
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(from_redis(refused).retry_class(), Retry::Safe);
    }
}
