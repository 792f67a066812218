//! The scripts: what two commands would tear apart.

use std::sync::LazyLock;

pub(crate) use broker_redis_common::Script;

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("scripts/common.lua"),
                include_str!(concat!("scripts/", $file))
            ))
        });
    };
}

script!(
    /// Makes a group if it is not there, and puts a member's lease down.
    JOIN,
    "join.lua"
);
script!(
    /// Acknowledges fresh deliveries of the group's present epoch.
    ACK,
    "ack.lua"
);
script!(
    /// Acknowledges fresh deliveries, and lets the next ones of their keys out.
    ACK_LANES,
    "ack_lanes.lua"
);
script!(
    /// Settles deliveries one by one against owner, count and epoch.
    SETTLE,
    "settle.lua"
);
script!(
    /// Hands out what is due: rested, given back, or with an ended lease.
    CLAIM,
    "claim.lua"
);
script!(
    /// Adds a message unless its id was published before.
    PUBLISH_ONCE,
    "publish_once.lua"
);
script!(
    /// Puts a message aside until it is due.
    DELAY,
    "delay.lua"
);
script!(
    /// Moves a group.
    SEEK,
    "seek.lua"
);
script!(
    /// Removes a group, unless something is pending.
    REMOVE_GROUP,
    "remove_group.lua"
);
script!(
    /// Removes a member after parking what it had in hand.
    REMOVE_CONSUMER,
    "remove_consumer.lua"
);
script!(
    /// Removes members that have long been dead.
    REAP,
    "reap.lua"
);
script!(
    /// Puts dead letters back to their group.
    REVIVE,
    "revive.lua"
);
script!(
    /// Removes old entries, but none that a group still needs.
    TRIM,
    "trim.lua"
);
script!(
    /// Reads new entries, and parks those whose key has an unsettled one.
    SEQUENTIAL,
    "sequential.lua"
);
script!(
    /// Removes dead letters, all of those named or none.
    PURGE,
    "purge.lua"
);
script!(
    /// Moves delayed messages that are due to their stream.
    MOVE,
    "move.lua"
);
script!(
    /// Keeps a member's partitions, and hands them out anew as members come and go.
    ASSIGN,
    "assign.lua"
);
script!(
    /// Tells about groups, with their lag.
    GROUPS,
    "groups.lua"
);

/// All of them, to be loaded when a connection opens.
pub(crate) fn all() -> [&'static Script; 18] {
    [
        &JOIN,
        &ACK,
        &ACK_LANES,
        &SETTLE,
        &CLAIM,
        &PUBLISH_ONCE,
        &DELAY,
        &SEEK,
        &REMOVE_GROUP,
        &REMOVE_CONSUMER,
        &REAP,
        &REVIVE,
        &TRIM,
        &GROUPS,
        &SEQUENTIAL,
        &PURGE,
        &MOVE,
        &ASSIGN,
    ]
}
