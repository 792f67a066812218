//! What this provider claims, and what an instance loses.

use broker_core::{Capabilities, LostCapability};
use broker_redis_common::Server;

use crate::config::RedisStreamsConfig;

/// The most that an instance can claim.
pub(crate) const MOST: Capabilities = Capabilities::ENTERPRISE_STREAMING
    .union(Capabilities::DELAYED_DELIVERY)
    .union(Capabilities::IDEMPOTENT_PUBLISH)
    .union(Capabilities::RETENTION)
    .union(Capabilities::LEASE_EXTENSION);

/// What an instance with these settings lacks, each with its reason.
pub(crate) fn lost(config: &RedisStreamsConfig, server: &Server) -> Vec<LostCapability> {
    let mut lost = Vec::new();
    if config.dedup_window.is_none() {
        lost.push(LostCapability {
            capability: Capabilities::IDEMPOTENT_PUBLISH,
            reason: "dedup_window is not set".to_owned(),
        });
    }
    if let Some(reason) = server.too_old() {
        lost.push(LostCapability {
            capability: Capabilities::DELIVERY_GUARANTEES,
            reason,
        });
    }
    lost
}

/// What an instance with these settings has.
pub(crate) fn of(config: &RedisStreamsConfig, server: &Server) -> Capabilities {
    lost(config, server)
        .into_iter()
        .fold(MOST, |left, lost| left.without(lost.capability))
}
