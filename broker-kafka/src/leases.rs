//! More time for a handler.

use std::time::Duration;

use broker_core::base::{Leases, Settle};
use broker_core::{Result, Settlements, async_trait};

use crate::broker::Kafka;

#[async_trait]
impl Leases for Kafka {
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements> {
        self.client().check_open()?;
        self.member(settle.member).await?.extend(settle.runs, by)
    }
}
