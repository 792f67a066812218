//! Optional family: replay.

use crate::async_trait;
use crate::values::{GroupName, Result, StartPosition, StreamName};

/// Optional family, with [`REPLAY`](crate::Capabilities::REPLAY): moving a group.
#[async_trait]
pub trait Replay: Send + Sync {
    /// Moves a group to `position`; other groups stay. Receipts handed out before are stale.
    ///
    /// A position that was trimmed away is the oldest message kept; one in the future is the end.
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()>;
}
