//! What may be done with a broker, at random.

use broker_core::Capabilities;
use proptest::prelude::*;
use proptest::sample::Index;

/// How many groups and consumers take part.
pub(super) const GROUPS: usize = 2;
pub(super) const MEMBERS: usize = 2;

/// One step of a random sequence. What an [`Index`] points to depends on what is there when its turn comes, so that
/// a sequence still makes sense when steps before it are taken away.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Messages are published, with one of a few keys or without.
    Publish {
        /// Which key.
        key: Option<u8>,
        /// How many.
        count: usize,
    },
    /// A member of a group reads.
    Read {
        /// Which group.
        group: usize,
        /// Which of its members.
        member: usize,
        /// At most this many.
        max: usize,
    },
    /// A delivery is settled, be it for the first time or not.
    Settle {
        /// Which of all deliveries so far; the latest are the likeliest.
        delivery: Index,
        /// How.
        how: How,
    },
    /// Time passes.
    Wait(Wait),
    /// A group is made, unless it is there.
    Create {
        /// Which.
        group: usize,
        /// Whether it starts at the end.
        latest: bool,
    },
    /// A group is moved.
    Seek {
        /// Which.
        group: usize,
        /// Where to.
        to: To,
    },
    /// Dead letters are put back.
    Replay {
        /// Of which group.
        group: usize,
        /// One of them, or all.
        which: Option<Index>,
    },
    /// Dead letters are removed.
    Purge {
        /// Of which group.
        group: usize,
        /// One of them, or all.
        which: Option<Index>,
    },
}

/// How a delivery is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Done.
    Ack,
    /// Again, after the configured back-off.
    Nack,
    /// Again, after a while.
    NackLater,
    /// Never handled.
    GiveBack,
    /// Thrown away.
    Discard,
    /// Kept apart.
    DeadLetter,
}

/// How much time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Less than any lease.
    Shortly,
    /// More than any lease and delay.
    OverLeases,
}

/// Where a group is moved to.
#[derive(Clone, Debug)]
pub enum To {
    /// The oldest message.
    Earliest,
    /// The end.
    Latest,
    /// A message.
    Message(Index),
}

/// Sequences of operations that a broker with these flags has; where nothing is settled, time changes nothing.
pub(super) fn sequences(flags: Capabilities) -> impl Strategy<Value = Vec<Operation>> {
    let has = |needed: Capabilities| u32::from(flags.contains(needed));
    let group = 0..GROUPS;
    let one_of_them = || proptest::option::weighted(0.6, any::<Index>());
    let publish = (proptest::option::of(0..3_u8), 1..4_usize);
    let operation = prop_oneof![
        6 => publish.prop_map(|(key, count)| Operation::Publish { key, count }),
        8 => (group.clone(), 0..MEMBERS, 0..5_usize)
            .prop_map(|(group, member, max)| Operation::Read { group, member, max }),
        9 * has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) => (any::<Index>(), how(flags))
            .prop_map(|(delivery, how)| Operation::Settle { delivery, how }),
        2 * has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) => prop_oneof![Just(Wait::Shortly), Just(Wait::OverLeases)].prop_map(Operation::Wait),
        1 => (group.clone(), any::<bool>()).prop_map(|(group, latest)| Operation::Create { group, latest }),
        has(Capabilities::REPLAY) => (group.clone(), to()).prop_map(|(group, to)| Operation::Seek { group, to }),
        2 * has(Capabilities::DEAD_LETTER_QUEUE) => (group.clone(), one_of_them())
            .prop_map(|(group, which)| Operation::Replay { group, which }),
        has(Capabilities::DEAD_LETTER_QUEUE) => (group, one_of_them())
            .prop_map(|(group, which)| Operation::Purge { group, which }),
    ];
    proptest::collection::vec(operation, 1..60)
}

fn how(flags: Capabilities) -> impl Strategy<Value = How> {
    let rejects = u32::from(flags.contains(Capabilities::MESSAGE_REJECTION));
    let buries = u32::from(flags.contains(Capabilities::DEAD_LETTER_QUEUE));
    prop_oneof![
        5 => Just(How::Ack),
        3 * rejects => Just(How::Nack),
        rejects => Just(How::NackLater),
        2 * rejects => Just(How::GiveBack),
        rejects => Just(How::Discard),
        2 * buries => Just(How::DeadLetter),
    ]
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![
        Just(To::Earliest),
        Just(To::Latest),
        any::<Index>().prop_map(To::Message),
    ]
}
