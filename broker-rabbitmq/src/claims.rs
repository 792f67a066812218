//! What this provider claims, and what an instance loses.

use broker_core::{Capabilities, LostCapability};

use crate::config::RabbitMqConfig;

/// The most that an instance can claim where nothing is asked for.
pub(crate) const USUAL: Capabilities = Capabilities::RELIABLE_MESSAGING
    .union(Capabilities::BLOCKING_READ)
    .union(Capabilities::DEAD_LETTER_QUEUE)
    .union(Capabilities::DELAYED_DELIVERY)
    .union(Capabilities::LEASE_EXTENSION)
    .union(Capabilities::PATTERN_SUBSCRIPTION);

/// The most that one can claim whose queues have a single active consumer.
pub(crate) const ORDERED: Capabilities = USUAL.union(Capabilities::MESSAGE_ORDERING);

/// The most that an instance can claim: with a log for all groups of a stream.
pub(crate) const LOGS: Capabilities = ORDERED.union(Capabilities::REPLAY);

/// What an instance with these settings lacks, each with its reason.
pub(crate) fn lost(config: &RabbitMqConfig) -> Vec<LostCapability> {
    let lost = |capability, reason: &str| LostCapability {
        capability,
        reason: reason.to_owned(),
    };
    let mut all = Vec::new();
    if !config.is_log() {
        let reason = "queue_type is not `stream`: a queue forgets what is acked";
        all.push(lost(Capabilities::REPLAY, reason));
    }
    if !config.single_active_consumer && !config.is_log() {
        let reason = "single_active_consumer is off: a queue's messages go to whoever is free, and a refused one to its end";
        all.push(lost(Capabilities::MESSAGE_ORDERING, reason));
    }
    if !config.declare {
        let reason = "declare is off: no queue beside the given ones is made";
        all.push(lost(Capabilities::DEAD_LETTER_QUEUE, reason));
        all.push(lost(Capabilities::DELAYED_DELIVERY, reason));
        all.push(lost(Capabilities::PATTERN_SUBSCRIPTION, reason));
    }
    if config.declare && config.routing_key != "{stream}" {
        let reason = "routing_key is not `{stream}`: patterns go by the streams' names";
        all.push(lost(Capabilities::PATTERN_SUBSCRIPTION, reason));
    }
    if config.declare && config.is_by_key() {
        let reason =
            "the exchange goes by the messages' keys, which a rest in a queue for delayed ones would lose";
        all.push(lost(Capabilities::DELAYED_DELIVERY, reason));
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
        .fold(LOGS, |left, lost| left.without(lost.capability))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExchangeType;

    #[test]
    fn each_flag_goes_with_the_setting_that_takes_it_and_says_so() {
        let usual = of(&RabbitMqConfig::default());
        assert_eq!(usual, USUAL);
        let ordered = RabbitMqConfig {
            single_active_consumer: true,
            ..RabbitMqConfig::default()
        };
        assert_eq!(of(&ordered), ORDERED);
        let log = RabbitMqConfig {
            queue_type: crate::config::QueueType::Stream,
            ..RabbitMqConfig::default()
        };
        assert_eq!(of(&log), LOGS);
        let by_key = RabbitMqConfig {
            exchange_type: ExchangeType::Topic,
            routing_key: "{stream}.{key}".to_owned(),
            ..RabbitMqConfig::default()
        };
        let lacks = usual.difference(of(&by_key));
        assert_eq!(
            lacks,
            Capabilities::PATTERN_SUBSCRIPTION | Capabilities::DELAYED_DELIVERY
        );
        for exchange_type in [ExchangeType::Direct, ExchangeType::Topic, ExchangeType::Headers] {
            let settings = RabbitMqConfig {
                exchange_type,
                ..RabbitMqConfig::default()
            };
            assert_eq!(of(&settings), usual, "{exchange_type:?}");
        }
    }
}
