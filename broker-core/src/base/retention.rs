//! Optional family: retention.

use std::time::SystemTime;

use crate::async_trait;
use crate::values::{MessageId, Result, StreamName};

/// Optional family, with [`RETENTION`](crate::Capabilities::RETENTION): removing old messages.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Removes the oldest messages, but none that a group still needs unless `force` is set.
    async fn trim(&self, stream: &StreamName, to: &TrimTo, force: bool) -> Result<Trimmed>;
}

/// What is to be left.
///
/// ```
/// use broker::base::TrimTo;
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.create_group("orders", "billing", StartPosition::Earliest).await?;
/// broker.publish("orders", Message::text("one coffee")).await?;
/// let trimmed = broker.trim("orders", TrimTo::Length(0), false).await?;
/// assert_eq!(trimmed.removed, 0); // billing has not had it
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// At most this many messages.
    Length(u64),
    /// This message and what follows it.
    Id(MessageId),
    /// What was published at this time or later.
    Time(SystemTime),
}

/// What trimming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many messages were removed.
    pub removed: u64,
    /// How many of them some group still needed: only by force.
    pub lost: u64,
}
