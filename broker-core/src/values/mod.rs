//! Plain data: no I/O, no runtime.

mod capabilities;
#[cfg(feature = "schema")]
mod capabilities_schema;
mod dead_letter;
mod error;
mod event;
mod failure;
mod group_info;
mod headers;
mod health;
mod message;
mod message_id;
mod name;
pub(crate) mod nearest;
mod outcome;
mod partition;
mod pattern;
mod position;
mod receipt;
mod secret;
mod settled;
#[cfg(feature = "opentelemetry")]
mod trace_context;

pub use capabilities::{Capabilities, LostCapability, ParseCapabilitiesError, Tier};
pub use dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, Selection};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::BrokerEvent;
pub use failure::Failure;
pub use group_info::{GroupInfo, MemberInfo, PartitionInfo, StreamInfo};
pub use headers::Headers;
pub use health::{Counts, Health, HealthStatus};
pub use message::Message;
pub use message_id::MessageId;
pub use name::{ConsumerName, GroupName, StreamName, TransactorName};
pub use outcome::{Outcome, Published};
pub use partition::partition_for_key;
pub use pattern::StreamPattern;
pub use position::{Ordering, StartPosition};
pub use receipt::{Receipt, ReceiptRun};
pub use secret::Secret;
pub use settled::{Settled, Settlements};
