//! What a broker can promise, as flags and as named tiers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

bitflags::bitflags! {
    /// The guarantees of one opened broker.
    ///
    /// Single flags say what an operation does; the tiers are unions of them. A tier never forbids: a broker of
    /// [`SIMPLE_QUEUING`](Self::SIMPLE_QUEUING) may well have [`MESSAGE_ORDERING`](Self::MESSAGE_ORDERING) too.
    ///
    /// ```
    /// use broker::{Capabilities, Tier};
    ///
    /// let has: Capabilities = "RELIABLE_MESSAGING, MESSAGE_ORDERING, REPLAY".parse()?;
    /// assert!(has.has_capability(Capabilities::ACK_NACK | Capabilities::REPLAY));
    /// assert_eq!(has.tier(), Some(Tier::OrderedMessaging));
    /// assert_eq!(has.to_string(), "ORDERED_MESSAGING + REPLAY");
    /// # Ok::<(), broker::ParseCapabilitiesError>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct Capabilities: u32 {
        /// Messages can be published.
        const PUBLISH = 1;
        /// Messages can be received.
        const SUBSCRIBE = 1 << 1;
        /// Consumers of one group share a stream's messages, each message to one of them.
        const CONSUMER_GROUPS = 1 << 2;
        /// A delivery can be acknowledged, and then never comes again to its group.
        const MESSAGE_ACKNOWLEDGEMENT = 1 << 3;
        /// A delivery can be refused: requeued now or later, dead-lettered, or discarded.
        const MESSAGE_REJECTION = 1 << 4;
        /// Every message published `Ok` is delivered until some consumer of each group settles it.
        const DELIVERY_GUARANTEES = 1 << 5;
        /// Messages of one key reach a group in publish order.
        const MESSAGE_ORDERING = 1 << 6;
        /// A read can wait for messages without polling.
        const BLOCKING_READ = 1 << 7;
        /// Messages that failed too often are kept apart and can be listed, replayed and purged.
        const DEAD_LETTER_QUEUE = 1 << 8;
        /// A group can be moved back, and a new one can start at any retained message.
        const REPLAY = 1 << 9;
        /// A stream is split by key into partitions.
        const STREAM_PARTITIONING = 1 << 10;
        /// One subscription covers every stream whose name matches a pattern.
        const PATTERN_SUBSCRIPTION = 1 << 11;
        /// A message can be published now and become visible later.
        const DELAYED_DELIVERY = 1 << 12;
        /// Publishing the same message id twice stores it once.
        const IDEMPOTENT_PUBLISH = 1 << 13;
        /// Publishes and settlements can be made visible together or not at all.
        const TRANSACTIONS = 1 << 14;
        /// Old messages can be removed by count, age or position without losing what a group still needs.
        const RETENTION = 1 << 15;
        /// A consumer can prolong its lease on a delivery.
        const LEASE_EXTENSION = 1 << 16;

        /// Both ways to settle.
        const ACK_NACK = Self::MESSAGE_ACKNOWLEDGEMENT.bits() | Self::MESSAGE_REJECTION.bits();
        /// Tier: publish and subscribe.
        const BASIC_PUBSUB = Self::PUBLISH.bits() | Self::SUBSCRIBE.bits();
        /// Tier: competing consumers.
        const SIMPLE_QUEUING = Self::BASIC_PUBSUB.bits() | Self::CONSUMER_GROUPS.bits();
        /// Tier: settlement, and nothing lost until settled.
        const RELIABLE_MESSAGING =
            Self::SIMPLE_QUEUING.bits() | Self::ACK_NACK.bits() | Self::DELIVERY_GUARANTEES.bits();
        /// Tier: order per key as well.
        const ORDERED_MESSAGING = Self::RELIABLE_MESSAGING.bits() | Self::MESSAGE_ORDERING.bits();
        /// Tier: dead letters, replay, partitions and blocking reads as well.
        const ENTERPRISE_STREAMING = Self::ORDERED_MESSAGING.bits()
            | Self::DEAD_LETTER_QUEUE.bits()
            | Self::REPLAY.bits()
            | Self::STREAM_PARTITIONING.bits()
            | Self::BLOCKING_READ.bits();
    }
}

/// A named union of capability flags; each one contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Publish and subscribe.
    BasicPubsub,
    /// Competing consumers.
    SimpleQueuing,
    /// Settlement and delivery guarantees.
    ReliableMessaging,
    /// Order per key.
    OrderedMessaging,
    /// Dead letters, replay, partitions, blocking reads.
    EnterpriseStreaming,
}

impl Tier {
    /// Every tier, the smallest first.
    pub const ALL: [Self; 5] = [
        Self::BasicPubsub,
        Self::SimpleQueuing,
        Self::ReliableMessaging,
        Self::OrderedMessaging,
        Self::EnterpriseStreaming,
    ];

    /// The flags this tier is the union of.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        match self {
            Self::BasicPubsub => Capabilities::BASIC_PUBSUB,
            Self::SimpleQueuing => Capabilities::SIMPLE_QUEUING,
            Self::ReliableMessaging => Capabilities::RELIABLE_MESSAGING,
            Self::OrderedMessaging => Capabilities::ORDERED_MESSAGING,
            Self::EnterpriseStreaming => Capabilities::ENTERPRISE_STREAMING,
        }
    }

    /// The tier's name as it is written in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BasicPubsub => "BASIC_PUBSUB",
            Self::SimpleQueuing => "SIMPLE_QUEUING",
            Self::ReliableMessaging => "RELIABLE_MESSAGING",
            Self::OrderedMessaging => "ORDERED_MESSAGING",
            Self::EnterpriseStreaming => "ENTERPRISE_STREAMING",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which flag needs which: the left one is meaningless without the right one.
const IMPLICATIONS: [(Capabilities, Capabilities); 12] = [
    (Capabilities::CONSUMER_GROUPS, Capabilities::SUBSCRIBE),
    (
        Capabilities::MESSAGE_ACKNOWLEDGEMENT,
        Capabilities::CONSUMER_GROUPS,
    ),
    (
        Capabilities::MESSAGE_REJECTION,
        Capabilities::MESSAGE_ACKNOWLEDGEMENT,
    ),
    (Capabilities::DELIVERY_GUARANTEES, Capabilities::ACK_NACK),
    (Capabilities::DEAD_LETTER_QUEUE, Capabilities::ACK_NACK),
    (
        Capabilities::LEASE_EXTENSION,
        Capabilities::MESSAGE_ACKNOWLEDGEMENT,
    ),
    (Capabilities::BLOCKING_READ, Capabilities::SUBSCRIBE),
    (Capabilities::REPLAY, Capabilities::SUBSCRIBE),
    (Capabilities::PATTERN_SUBSCRIPTION, Capabilities::SUBSCRIBE),
    (Capabilities::DELAYED_DELIVERY, Capabilities::PUBLISH),
    (Capabilities::IDEMPOTENT_PUBLISH, Capabilities::PUBLISH),
    (Capabilities::TRANSACTIONS, Capabilities::PUBLISH),
];

impl Capabilities {
    /// Whether every flag of `wanted` is present; the empty set always is.
    #[must_use]
    pub const fn has_capability(self, wanted: Self) -> bool {
        self.contains(wanted)
    }

    /// Whether at least one flag of `wanted` is present; of the empty set, none is.
    #[must_use]
    pub const fn has_any_capability(self, wanted: Self) -> bool {
        self.intersects(wanted)
    }

    /// The highest tier wholly contained in these flags.
    #[must_use]
    pub fn tier(self) -> Option<Tier> {
        Tier::ALL
            .into_iter()
            .rev()
            .find(|tier| self.contains(tier.capabilities()))
    }

    /// The single flags of this set, in the order of their definition.
    pub fn flags(self) -> impl Iterator<Item = Self> {
        (0..u32::BITS)
            .map(|bit| Self::from_bits_retain(1 << bit))
            .filter(move |flag| !flag.intersection(Self::all()).is_empty() && self.contains(*flag))
    }

    /// The name of a single flag, or of the union that equals this set.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        use bitflags::Flags as _;
        Self::FLAGS
            .iter()
            .find(|flag| *flag.value() == self)
            .map(bitflags::Flag::name)
    }

    /// The first flag that needs another one which is missing, with the one it needs.
    ///
    /// A set that answers `None` is consistent; an adapter whose set is not is refused when it is opened.
    #[must_use]
    pub fn broken_implication(self) -> Option<(Self, Self)> {
        IMPLICATIONS
            .into_iter()
            .find(|(flag, needed)| self.contains(*flag) && !self.contains(*needed))
            .map(|(flag, needed)| (flag, needed - self))
    }

    /// Removes `flag` and every flag that is meaningless without it.
    #[must_use]
    pub fn without(self, flag: Self) -> Self {
        let mut left = self - flag;
        while let Some((orphan, _)) = left.broken_implication() {
            left -= orphan;
        }
        left
    }
}

impl fmt::Display for Capabilities {
    /// Writes the highest tier and the flags beyond it: `RELIABLE_MESSAGING + MESSAGE_ORDERING, REPLAY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut rest = *self;
        let mut separator = "";
        if let Some(tier) = self.tier() {
            f.write_str(tier.name())?;
            rest -= tier.capabilities();
            separator = " + ";
        }
        for flag in rest.flags() {
            f.write_str(separator)?;
            f.write_str(flag.name().unwrap_or("UNKNOWN"))?;
            separator = ", ";
        }
        Ok(())
    }
}

/// A name that is neither a flag nor a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCapabilitiesError {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for ParseCapabilitiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown capability `{}`", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => write!(
                f,
                "; a tier such as RELIABLE_MESSAGING or a flag such as REPLAY is expected"
            ),
        }
    }
}

impl std::error::Error for ParseCapabilitiesError {}

impl FromStr for Capabilities {
    type Err = ParseCapabilitiesError;

    /// Reads flags and tiers separated by `,`, `|` or `+`; a leading `-` takes a flag (and what needs it) away.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use bitflags::Flags as _;
        let mut set = Self::empty();
        for word in text
            .split([',', '|', '+'])
            .map(str::trim)
            .filter(|word| !word.is_empty() && *word != "none")
        {
            let (name, taken_away) = word
                .strip_prefix('-')
                .map_or((word, false), |name| (name.trim(), true));
            let Some(flag) = Self::FLAGS
                .iter()
                .find(|flag| flag.name().eq_ignore_ascii_case(name))
            else {
                return Err(ParseCapabilitiesError {
                    name: name.to_owned(),
                    nearest: super::nearest::nearest(
                        &name.to_ascii_uppercase(),
                        Self::FLAGS.iter().map(bitflags::Flag::name),
                    ),
                });
            };
            set = if taken_away {
                set.without(*flag.value())
            } else {
                set | *flag.value()
            };
        }
        Ok(set)
    }
}

impl Serialize for Capabilities {
    /// A list of the single flags' names, which does not change its meaning when a tier is redefined.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.flags().filter_map(Self::name))
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    /// A string as [`FromStr`] reads it, or a list of such strings.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> serde::de::Visitor<'de> for Names {
            type Value = Capabilities;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a capability or a list of capabilities")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut set = Capabilities::empty();
                while let Some(name) = names.next_element::<String>()? {
                    set |= name.parse().map_err(serde::de::Error::custom)?;
                }
                Ok(set)
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// A flag that the provider can have and this instance has not, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostCapability {
    /// The flag, or flags, that are absent.
    pub capability: Capabilities,
    /// Why, in one line: a mode, a server version, a setting.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_nest_and_are_consistent() {
        for pair in Tier::ALL.windows(2) {
            assert!(pair[1].capabilities().contains(pair[0].capabilities()));
        }
        for tier in Tier::ALL {
            assert_eq!(tier.capabilities().tier(), Some(tier));
            assert_eq!(tier.capabilities().broken_implication(), None);
        }
        assert_eq!(Capabilities::PUBLISH.tier(), None);
    }

    #[test]
    fn the_empty_set_is_had_by_all_and_by_none() {
        assert!(Capabilities::PUBLISH.has_capability(Capabilities::empty()));
        assert!(!Capabilities::PUBLISH.has_any_capability(Capabilities::empty()));
    }

    #[test]
    fn every_set_of_flags_survives_its_text() {
        for bits in 0..=Capabilities::all().bits() {
            if bits % 97 != 0 {
                continue;
            }
            let set = Capabilities::from_bits_truncate(bits);
            assert_eq!(set.to_string().parse(), Ok(set));
        }
    }

    #[test]
    fn taking_a_flag_away_takes_what_needs_it() {
        let left = Capabilities::ENTERPRISE_STREAMING.without(Capabilities::CONSUMER_GROUPS);
        assert_eq!(left.broken_implication(), None);
        assert!(!left.has_any_capability(Capabilities::ACK_NACK | Capabilities::DEAD_LETTER_QUEUE));
        assert!(left.contains(Capabilities::REPLAY));
    }

    #[test]
    fn a_misspelt_flag_is_told_its_nearest_name() {
        let error = "RELIABEL_MESSAGING".parse::<Capabilities>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown capability `RELIABEL_MESSAGING`; did you mean `RELIABLE_MESSAGING`?"
        );
    }
}
