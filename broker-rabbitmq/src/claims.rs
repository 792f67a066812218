//! What this provider claims, and what an instance loses.

use broker_core::{Capabilities, LostCapability};

use crate::config::RabbitMqConfig;

/// The most that an instance on queues can claim.
pub(crate) const QUEUES: Capabilities = Capabilities::RELIABLE_MESSAGING
    .union(Capabilities::BLOCKING_READ)
    .union(Capabilities::DEAD_LETTER_QUEUE)
    .union(Capabilities::DELAYED_DELIVERY)
    .union(Capabilities::LEASE_EXTENSION)
    .union(Capabilities::PATTERN_SUBSCRIPTION);

/// What an instance with these settings lacks, each with its reason.
pub(crate) fn lost(config: &RabbitMqConfig) -> Vec<LostCapability> {
    let lost = |capability, reason: &str| LostCapability {
        capability,
        reason: reason.to_owned(),
    };
    let mut all = Vec::new();
    if !config.declare {
        let reason = "declare is off: no queue beside the given ones is made";
        all.push(lost(Capabilities::DEAD_LETTER_QUEUE, reason));
        all.push(lost(Capabilities::DELAYED_DELIVERY, reason));
        all.push(lost(Capabilities::PATTERN_SUBSCRIPTION, reason));
    }
    if !config.persistent {
        let reason = "persistent is off: a restart of the server loses what is in memory";
        all.push(lost(Capabilities::DELIVERY_GUARANTEES, reason));
    }
    all
}

/// What an instance with these settings has.
pub(crate) fn of(config: &RabbitMqConfig) -> Capabilities {
    lost(config)
        .into_iter()
        .fold(QUEUES, |left, lost| left.without(lost.capability))
}
