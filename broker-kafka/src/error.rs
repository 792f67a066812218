//! From the client library's errors to ours: the one table.

use broker_core::{Error, ErrorKind, Retry};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What went wrong in asking: nothing was stored by it.
pub(crate) fn from_kafka(error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => from_code(code),
        None => Error::new(ErrorKind::Unexpected, "the client library failed").source(error.to_string()),
    }
}

/// What a code means where nothing was stored.
pub(crate) fn from_code(code: Code) -> Error {
    use ErrorKind as Kind;
    let (kind, retry, line) = match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::NodeUpdate => (Kind::Connection, Retry::Safe, "no server can be reached"),
        Code::OperationTimedOut | Code::MessageTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
            (Kind::Connection, Retry::Safe, "no server answered in time")
        }
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::ReplicaNotAvailable
        | Code::WaitingForCoordinator
        | Code::PreferredLeaderNotAvailable
        | Code::WaitCache => (Kind::Connection, Retry::Safe, "the servers are not ready yet"),
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            (Kind::Throttled, Retry::Safe, "too few replicas are in sync")
        }
        Code::QueueFull | Code::ThrottlingQuotaExceeded => {
            (Kind::Throttled, Retry::Safe, "a bound was reached")
        }
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::UnknownTopicId => (
            Kind::NotFound,
            Retry::Never,
            "there is no such topic; create it, or set `auto_create`",
        ),
        Code::GroupIdNotFound => (Kind::NotFound, Retry::Never, "there is no such group"),
        Code::InvalidTopic => (
            Kind::InvalidName,
            Retry::Never,
            "the server refuses the topic's name; it takes `.` and `_` for one, choose another name",
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => (
            Kind::TooLarge,
            Retry::Never,
            "the message is larger than the topic allows (max.message.bytes)",
        ),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::DelegationTokenAuthorizationFailed => (
            Kind::Permission,
            Retry::Never,
            "the server refuses this user or certificate",
        ),
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::FencedInstanceId
        | Code::AssignmentLost => (
            Kind::Stale,
            Retry::Never,
            "the partition was given to another member",
        ),
        Code::NonEmptyGroup => (
            Kind::Throttled,
            Retry::Never,
            "the group has members elsewhere; stop them first",
        ),
        Code::PolicyViolation
        | Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::InvalidConfig => (Kind::Config, Retry::Never, "the server refuses a topic like that"),
        _ => (Kind::Unexpected, Retry::Never, "the server refuses the request"),
    };
    Error::new(kind, line).retry(retry).source(code.to_string())
}

/// Whether a message that failed with this code is certainly not stored.
pub(crate) fn is_certain(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidMessage
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::QueueFull
            | Code::PurgeQueue
            | Code::NotEnoughReplicas
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::PolicyViolation
    )
}

/// The library answered with something that it does not document.
pub(crate) fn odd(what: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{what} has an unknown shape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_kind_and_retry_class() {
        for (code, kind, retry) in [
            (Code::AllBrokersDown, ErrorKind::Connection, Retry::Safe),
            (Code::MessageSizeTooLarge, ErrorKind::TooLarge, Retry::Never),
            (
                Code::TopicAuthorizationFailed,
                ErrorKind::Permission,
                Retry::Never,
            ),
            (Code::UnknownTopicOrPartition, ErrorKind::NotFound, Retry::Never),
            (Code::NotEnoughReplicas, ErrorKind::Throttled, Retry::Safe),
        ] {
            let error = from_code(code);
            assert_eq!((error.kind(), error.retry_class()), (kind, retry), "{code}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}
