//! The one table from the file system's errors to ours.

use std::io::{self, ErrorKind::*};
use std::path::Path;

use broker_core::{Error, ErrorKind, Retry};

/// Says what went wrong where. An adapter classifies; trying again is the framework's affair.
pub(crate) fn failed(error: io::Error, folder: &Path) -> Error {
    let (kind, retry) = match error.kind() {
        PermissionDenied | ReadOnlyFilesystem => (ErrorKind::Permission, Retry::Never),
        StorageFull | QuotaExceeded | ResourceBusy => (ErrorKind::Throttled, Retry::Safe),
        // The folder was removed while in use: connecting makes it again.
        NotFound => (ErrorKind::Connection, Retry::Safe),
        AlreadyExists | NotADirectory => (ErrorKind::Connection, Retry::Never),
        _ => (ErrorKind::Unexpected, Retry::Never),
    };
    Error::new(kind, "the folder can't be used")
        .retry(retry)
        .with("folder", folder.display())
        .source(error)
}
