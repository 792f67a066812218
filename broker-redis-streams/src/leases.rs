//! More time for a handler.

use std::time::Duration;

use broker_core::base::{Leases, Settle};
use broker_core::{Result, Settlements, async_trait};

use crate::broker::RedisStreams;

#[async_trait]
impl Leases for RedisStreams {
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements> {
        let consumer = self.member(settle.member).await?;
        consumer.extend(settle.runs, by).await
    }
}
