//! What an adapter author implements.
//!
//! Required is [`BaseBroker`]; the rest are optional families, handed out by [`BaseBroker::families`]. An adapter
//! translates and classifies its errors; retrying, reconnecting, timing out, tracing and counting are done once, in
//! [`broker`](crate::broker).

mod base_broker;
mod context;
mod dead_letters;
mod deliveries;
mod dyn_broker;
mod endpoint;
mod families;
mod groups;
mod leases;
mod members;
mod partitions;
mod publish;
mod read;
mod replay;
mod retention;
mod settle;
mod streams;
mod transactions;

pub use base_broker::{BaseBroker, HealthReport};
pub use context::{EventSender, OpenContext};
pub use dead_letters::DeadLetters;
pub use deliveries::{Deliveries, Lot, MessageStore};
pub use dyn_broker::{BoxFuture, DynBroker};
pub use endpoint::{Endpoints, ListenRequest, PublishEndpoint, ReadEndpoint, Source};
pub use families::Families;
pub use groups::Groups;
pub use leases::Leases;
pub use members::Members;
pub use partitions::Partitions;
pub use publish::PublishBatch;
pub use read::{Membership, ReadRequest};
pub use replay::Replay;
pub use retention::{Retention, TrimTo, Trimmed};
pub use settle::{Disposition, Nack, Settle};
pub use streams::Streams;
pub use transactions::{Transact, Transactions, Work};
