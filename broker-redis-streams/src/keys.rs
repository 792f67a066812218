//! The keys of a stream, which all share its hash tag.

use broker_core::{GroupName, StreamName};

/// The keys of one stream.
///
/// The stream itself lies under its plain name, where any other client finds it. Everything beside it begins with the
/// name in braces: a name never has braces itself, so that no stream's name can reach another's keys, and a cluster
/// keeps all of them on one node.
#[derive(Clone, Debug)]
pub(crate) struct StreamKeys {
    pub(crate) name: StreamName,
    /// Which partition of how many.
    pub(crate) partition: u32,
    pub(crate) partitions: u32,
    /// The stream.
    pub(crate) entries: String,
    /// Delayed messages by the time they are due.
    pub(crate) delayed: String,
    /// The channel that tells when something is due.
    pub(crate) wake: String,
    /// The groups that this framework has made or joined.
    pub(crate) groups: String,
    /// Prefix of the ids that were published, one key each.
    pub(crate) seen: String,
    /// What the keys of the whole stream begin with.
    tag: String,
    /// What the keys of this partition begin with.
    own: String,
}

/// The keys of one group.
#[derive(Clone, Debug)]
pub(crate) struct GroupKeys {
    /// The stream.
    pub(crate) entries: String,
    /// Epoch, and what is known about single pending entries: a hash.
    pub(crate) state: String,
    /// Pending entries that nobody has in hand, by the time they are due.
    pub(crate) due: String,
    /// Each member's lease in milliseconds: a hash.
    pub(crate) leases: String,
    /// Dead letters: a stream.
    pub(crate) dead: String,
    /// Unsettled entries by message key, for sequential reading: a hash.
    pub(crate) lanes: String,
    /// Delayed messages of the stream.
    pub(crate) delayed: String,
    /// The channel that tells when something is due.
    pub(crate) wake: String,
    /// Which member owns which partition: a hash.
    pub(crate) owners: String,
    /// The members that partitions are shared out to, by the time each counts as gone.
    pub(crate) members: String,
}

/// The index of the streams that this framework has written to or read from.
pub(crate) const STREAMS: &str = "broker:streams";

/// The member that pending entries belong to while nobody has them in hand.
pub(crate) const PARKED: &str = "broker:parked";

impl StreamKeys {
    /// The keys of one partition; a stream with only one lies under its plain name.
    pub(crate) fn new(stream: &StreamName, partition: u32, partitions: u32) -> Self {
        let tag = format!("{{{stream}}}");
        let (entries, own) = match partitions {
            0 | 1 => (stream.to_string(), tag.clone()),
            _ => (format!("{tag}:p:{partition}"), format!("{tag}:p:{partition}")),
        };
        Self {
            name: stream.clone(),
            partition,
            partitions,
            entries,
            delayed: format!("{own}:delayed"),
            wake: format!("{tag}:wake"),
            groups: format!("{tag}:groups"),
            seen: format!("{tag}:seen:"),
            tag,
            own,
        }
    }

    /// The partition's number, where there are several.
    pub(crate) fn number(&self) -> Option<u32> {
        (self.partitions > 1).then_some(self.partition)
    }

    pub(crate) fn group(&self, group: &GroupName) -> GroupKeys {
        let of = |part: &str| format!("{}:g:{group}:{part}", self.own);
        let shared = |part: &str| format!("{}:g:{group}:{part}", self.tag);
        GroupKeys {
            entries: self.entries.clone(),
            state: of("state"),
            due: of("due"),
            leases: of("leases"),
            dead: shared("dead"),
            lanes: of("lanes"),
            delayed: self.delayed.clone(),
            wake: self.wake.clone(),
            owners: shared("owners"),
            members: shared("members"),
        }
    }
}

/// The key that keeps a stream's number of partitions, once it is not one.
pub(crate) fn partition_count(stream: &StreamName) -> String {
    format!("{{{stream}}}:partitions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_the_streams_hash_tag() {
        let stream = StreamName::new("orders:new").unwrap();
        let keys = StreamKeys::new(&stream, 0, 1);
        assert_eq!(keys.entries, "orders:new");
        let group = keys.group(&GroupName::new("billing").unwrap());
        for key in [
            &keys.delayed,
            &keys.groups,
            &keys.seen,
            &group.state,
            &group.due,
            &group.dead,
        ] {
            assert!(key.starts_with("{orders:new}:"), "{key}");
        }
        let second = StreamKeys::new(&stream, 1, 2);
        assert_eq!(second.entries, "{orders:new}:p:1");
    }
}
