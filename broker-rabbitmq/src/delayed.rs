//! Queues in which messages rest until they are due, one for each length of rest: no plug-in is needed.
//!
//! Lengths are rounded up so that random ones share a few dozen queues at most.

use std::time::Duration;

use broker_core::{Result, StreamName};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::client::Client;
use crate::config::QueueType;
use crate::names;

/// How long an empty classic one is kept after its last use, beyond the rest of what lies in it.
const IDLE: u64 = 60_000;

/// For how long after its making one is used without making it again: well within [`IDLE`].
const FRESH: Duration = Duration::from_millis(IDLE / 3);

/// The longest rest, in milliseconds: the server counts the time of idle queues in 32 bits.
const LONGEST: u64 = 30 * 86_400_000;

impl Client {
    /// The queue in which a group's refused message rests for `delay`.
    pub(crate) async fn resting(&self, queue: &ShortString, delay: Duration) -> Result<ShortString> {
        let ms = rest(delay);
        let name = names::resting(queue.as_str(), ms)?;
        let arguments = arguments(
            self.config.queue_type.beside(),
            ms,
            names::DEFAULT_EXCHANGE,
            Some(queue.as_str()),
        );
        self.to_rest_in(&name, arguments).await?;
        Ok(name)
    }

    /// The queue in which a stream's delayed message rests for `delay`.
    pub(crate) async fn delaying(
        &self,
        stream: &StreamName,
        exchange: &str,
        delay: Duration,
    ) -> Result<ShortString> {
        let ms = rest(delay);
        let name = names::delayed(stream, ms)?;
        // Where messages are routed by their keys, none is delayed unless the exchange does not ask.
        let key = names::routing(&self.config, stream)?;
        let key = key.as_ref().map_or(stream.as_str(), |key| key.as_str());
        let arguments = arguments(self.config.queue_type.beside(), ms, exchange, Some(key));
        self.to_rest_in(&name, arguments).await?;
        Ok(name)
    }

    async fn to_rest_in(&self, queue: &ShortString, arguments: FieldTable) -> Result<()> {
        match self.config.queue_type.beside() {
            QueueType::Quorum | QueueType::Stream => self.beside(queue, arguments).await,
            QueueType::Classic => self.passing(queue, FRESH, arguments).await,
        }
    }
}

/// The milliseconds of a rest: up to an eighth longer than asked for, so that random delays share a few queues.
fn rest(delay: Duration) -> u64 {
    let ms = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(LONGEST);
    let ms = ms.clamp(1, LONGEST);
    let step = (ms.next_power_of_two() / 16).max(1);
    ms.div_ceil(step) * step
}

fn arguments(queue_type: QueueType, ms: u64, exchange: &str, key: Option<&str>) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.as_bytes().into());
    let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
    let mut table = FieldTable::default();
    table.insert("x-message-ttl".into(), number(ms));
    table.insert("x-dead-letter-exchange".into(), text(exchange));
    if let Some(key) = key {
        table.insert("x-dead-letter-routing-key".into(), text(key));
    }
    if queue_type == QueueType::Classic {
        // Making it again begins the time anew, so that nothing is in it any more when it ends. That of a quorum queue
        // does not: it would be removed with what is in it.
        table.insert("x-expires".into(), number(ms + ms / 2 + IDLE));
    }
    if queue_type == QueueType::Quorum {
        // What is due stays until the queue it goes to has confirmed it.
        table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        table.insert("x-overflow".into(), text("reject-publish"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_never_shorter_and_at_most_an_eighth_longer() {
        for ms in (1..4_000).chain([86_400_000, 7_777_777_777]) {
            let rest = rest(Duration::from_millis(ms));
            assert!(
                rest >= ms.min(LONGEST) && rest <= ms + ms / 8 + 1,
                "{ms} became {rest}"
            );
        }
    }

    #[test]
    fn random_delays_share_a_few_queues() {
        let rests: std::collections::BTreeSet<_> =
            (1..100_000).map(|ms| rest(Duration::from_millis(ms))).collect();
        assert!(rests.len() < 150, "{} queues", rests.len());
    }
}
