//! The one table from the client's errors to ours.

use std::io::{self, ErrorKind::*};

use broker_core::{Error, ErrorKind, Retry};

/// Says what went wrong where. An adapter classifies; trying again is the framework's affair.
pub(crate) fn failed(error: io::Error, address: &str) -> Error {
    let (kind, retry) = match error.kind() {
        PermissionDenied => (ErrorKind::Permission, Retry::Never),
        TimedOut => (ErrorKind::Timeout, Retry::Safe),
        ConnectionRefused | ConnectionReset | ConnectionAborted | NotConnected | BrokenPipe => {
            (ErrorKind::Connection, Retry::Safe)
        }
        _ => (ErrorKind::Unexpected, Retry::Never),
    };
    Error::new(kind, "the server can't be used")
        .retry(retry)
        .with("address", address)
        .source(error)
}
