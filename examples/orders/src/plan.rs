//! What the broker can do, and what the program does where it can't.

use std::time::Duration;

use anyhow::Result;
use broker::config::{BrokerConfig, Config};
use broker::prelude::*;

/// What the program relies on, decided once at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Deliveries are acknowledged after their work is done; else the broker forgets them as it hands them out.
    pub(crate) acks: bool,
    /// A failing delivery is refused and comes again; else it is tried again in place.
    pub(crate) nacks: bool,
    /// What failed for good is kept by the broker; else it is gone.
    pub(crate) dead_letters: bool,
    /// One customer's messages come in order.
    pub(crate) ordered: bool,
    /// The order holds over redelivery too: a customer's next message waits until the one before is settled.
    pub(crate) sequential: bool,
    /// How often a message is delivered in all.
    pub(crate) max_attempts: u32,
    /// How long nothing may move before the rest counts as lost.
    pub(crate) patience: Duration,
}

/// How long nothing may move, beyond the longest wait before a redelivery.
const PATIENCE: Duration = Duration::from_secs(10);

impl Plan {
    pub(crate) fn new(broker: &Broker, config: &Config) -> Result<Self> {
        let needed = Capabilities::SIMPLE_QUEUING;
        let missing = needed - broker.capabilities();
        if !missing.is_empty() {
            let hint = "choose a broker with consumer groups";
            return Err(Error::unsupported(missing)
                .provider(broker.provider())
                .with("hint", hint)
                .into());
        }
        let common = match config.get(broker.name()) {
            Some(settings) => settings.clone().take_common()?,
            None => BrokerConfig::default(),
        };
        let has = |capability| broker.has_capability(capability);
        let ordered = has(Capabilities::MESSAGE_ORDERING);
        Ok(Self {
            acks: has(Capabilities::MESSAGE_ACKNOWLEDGEMENT),
            nacks: has(Capabilities::MESSAGE_REJECTION),
            dead_letters: has(Capabilities::DEAD_LETTER_QUEUE) && common.enable_dlq,
            ordered,
            sequential: ordered && has(Capabilities::ACK_NACK),
            max_attempts: common.max_attempts(),
            patience: PATIENCE + common.delay_after(common.max_retries),
        })
    }

    /// How many workers a group gets of those wanted: where the broker's order ends with the hand-over, two workers
    /// would race each other.
    pub(crate) fn workers(&self, wanted: u64) -> u64 {
        if self.ordered && !self.sequential {
            1
        } else {
            wanted
        }
    }

    /// What the broker can't do, in one line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let absent = [
            (
                self.acks,
                "no acknowledgements: a message counts as done when it is handed out",
            ),
            (
                self.nacks,
                "no redelivery: a failing message is tried again in place",
            ),
            (
                self.dead_letters,
                "no dead letters: what failed for good is counted and thrown away",
            ),
            (self.ordered, "no order per customer: it is not checked"),
            (
                !self.ordered || self.sequential,
                "no order beyond the hand-over: one worker in each group",
            ),
        ];
        absent
            .into_iter()
            .filter(|(can, _)| !can)
            .map(|(_, note)| note.to_owned())
            .collect()
    }
}
