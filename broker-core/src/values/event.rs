//! What a broker tells without being asked.

use std::time::{Duration, SystemTime};

use super::{GroupName, LostCapability, MessageId, StreamName};

/// Something that happened to a broker and that no call's answer tells.
///
/// ```
/// use broker::BrokerEvent;
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let mut events = broker.events();
/// tokio::spawn(async move {
///     while let Ok(event) = events.recv().await {
///         match event {
///             BrokerEvent::Disconnected { reason } => eprintln!("connecting again: {reason}"),
///             BrokerEvent::Gap { stream, lasted, .. } => eprintln!("{stream} was not heard for {lasted:?}"),
///             other => println!("{other:?}"),
///         }
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// The connection is up, for the first time or again.
    Connected,
    /// The connection was lost; reconnecting goes on by itself.
    Disconnected {
        /// Why, in one line, without secrets.
        reason: String,
    },
    /// A subscription without history may have missed messages between two moments.
    Gap {
        /// The stream concerned.
        stream: StreamName,
        /// From when on messages may be missing.
        since: SystemTime,
        /// For how long.
        lasted: Duration,
    },
    /// A group or its stream had gone and was made again.
    GroupRecreated {
        /// The stream concerned.
        stream: StreamName,
        /// The group concerned.
        group: GroupName,
        /// Where it goes on.
        position: Option<MessageId>,
    },
    /// Messages that a group still needed were removed, by force or by the server.
    MessagesLost {
        /// The stream concerned.
        stream: StreamName,
        /// The group concerned.
        group: GroupName,
        /// How many.
        count: u64,
    },
    /// The server after a reconnect can do less than the one before.
    CapabilityLost(LostCapability),
}
