//! Optional family: leases.

use std::time::Duration;

use super::Settle;
use crate::async_trait;
use crate::values::{Result, Settlements};

/// Optional family, with [`LEASE_EXTENSION`](crate::Capabilities::LEASE_EXTENSION): more time for a handler.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Lets the leases end no sooner than `by` from now. Answers `Acked` where that took effect.
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements>;
}
