//! From the client library's errors to ours: the one table.

use broker_core::{Error, ErrorKind, Retry};
use lapin::ErrorKind as Native;
use lapin::protocol::{AMQPErrorKind, AMQPHardError as Hard, AMQPSoftError as Soft};

/// What the server says of a queue that is there, on a node that is not.
const INACCESSIBLE: &str = "is down or inaccessible";

/// What went wrong in asking: nothing was stored by it.
pub(crate) fn from_lapin(error: &lapin::Error) -> Error {
    use ErrorKind as Kind;
    let (kind, retry, line) = match error.kind() {
        Native::ProtocolError(answer) => match answer.kind() {
            AMQPErrorKind::Soft(Soft::ACCESSREFUSED) => (
                Kind::Permission,
                Retry::Never,
                "the server refuses this user; see its rights and its password",
            ),
            // A server that is starting knows of the queue, and can't yet reach it.
            AMQPErrorKind::Soft(Soft::NOTFOUND) if answer.get_message().as_str().contains(INACCESSIBLE) => (
                Kind::Connection,
                Retry::Safe,
                "the queue's node is down, or is starting",
            ),
            AMQPErrorKind::Soft(Soft::NOTFOUND) => (
                Kind::NotFound,
                Retry::Safe,
                "there is no such exchange or queue; make it, or set `declare = true`",
            ),
            AMQPErrorKind::Soft(Soft::RESOURCELOCKED) => (
                Kind::Throttled,
                Retry::Safe,
                "another connection has the queue for itself",
            ),
            AMQPErrorKind::Soft(Soft::PRECONDITIONFAILED) => (
                Kind::Config,
                Retry::Never,
                "an exchange or queue of that name is there with other settings; delete it, rename yours, or set `declare = false`",
            ),
            AMQPErrorKind::Soft(Soft::CONTENTTOOLARGE) => (
                Kind::TooLarge,
                Retry::Never,
                "the message is larger than the server allows",
            ),
            AMQPErrorKind::Soft(Soft::NOROUTE | Soft::NOCONSUMERS) => {
                (Kind::NotFound, Retry::Never, "the message goes to nobody")
            }
            AMQPErrorKind::Hard(Hard::NOTALLOWED | Hard::INVALIDPATH) => (
                Kind::Permission,
                Retry::Never,
                "the server refuses it; see that the virtual host is there and that the user may use it",
            ),
            AMQPErrorKind::Hard(Hard::CONNECTIONFORCED) => {
                (Kind::Connection, Retry::Safe, "the server closed the connection")
            }
            AMQPErrorKind::Hard(Hard::RESOURCEERROR | Hard::INTERNALERROR) => {
                (Kind::Throttled, Retry::Safe, "the server lacks resources")
            }
            AMQPErrorKind::Hard(Hard::NOTIMPLEMENTED) => (
                Kind::Config,
                Retry::Never,
                "the server does not know how to do that; a newer one may",
            ),
            AMQPErrorKind::Hard(_) => (Kind::Unexpected, Retry::Never, "the server refuses the request"),
        },
        Native::IOError(_)
        | Native::MissingHeartbeatError
        | Native::InvalidConnectionState(_)
        | Native::InvalidChannelState(..)
        | Native::InvalidChannel(_)
        | Native::RuntimeShutdownError(_) => (Kind::Connection, Retry::Safe, "the connection is gone"),
        Native::ChannelsLimitReached => (
            Kind::Throttled,
            Retry::Safe,
            "the connection has no channel left; raise the server's `channel_max`",
        ),
        Native::AuthProviderError(_) => (Kind::Permission, Retry::Never, "logging in failed"),
        _ => (Kind::Unexpected, Retry::Never, "the client library failed"),
    };
    Error::new(kind, line).retry(retry).source(error.to_string())
}

/// What went wrong in connecting.
pub(crate) fn connecting(error: &lapin::Error, server: &str) -> Error {
    let told = from_lapin(error);
    let told = match error.kind() {
        Native::IOError(cause) if is_tls(cause) => Error::new(
            ErrorKind::Connection,
            "the TLS handshake failed; see `tls_ca` and the server's certificate",
        )
        .source(error.to_string()),
        Native::IOError(_) => Error::new(ErrorKind::Connection, "the server can't be reached")
            .retry(Retry::Safe)
            .source(error.to_string()),
        _ => told,
    };
    told.with("server", server)
}

fn is_tls(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    #[test]
    fn an_answer_has_its_kind_and_retry_class() {
        for (answer, why, kind, retry) in [
            (
                AMQPErrorKind::Soft(Soft::ACCESSREFUSED),
                "why",
                ErrorKind::Permission,
                Retry::Never,
            ),
            (
                AMQPErrorKind::Soft(Soft::NOTFOUND),
                "NOT_FOUND - no queue 'orders' in vhost '/'",
                ErrorKind::NotFound,
                Retry::Safe,
            ),
            (
                AMQPErrorKind::Soft(Soft::NOTFOUND),
                "NOT_FOUND - home node 'rabbit@a' of durable queue 'orders' in vhost '/' is down or inaccessible",
                ErrorKind::Connection,
                Retry::Safe,
            ),
            (
                AMQPErrorKind::Soft(Soft::PRECONDITIONFAILED),
                "why",
                ErrorKind::Config,
                Retry::Never,
            ),
            (
                AMQPErrorKind::Hard(Hard::CONNECTIONFORCED),
                "why",
                ErrorKind::Connection,
                Retry::Safe,
            ),
        ] {
            let native = Native::ProtocolError(AMQPError::new(answer, why.into()));
            let error = from_lapin(&native.into());
            assert_eq!((error.kind(), error.retry_class()), (kind, retry));
            assert!(!error.to_string().contains('\n'));
        }
    }
}
