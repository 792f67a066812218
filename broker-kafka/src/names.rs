//! Topics and groups as the server calls them.

use std::fmt::Write as _;

use broker_core::{GroupName, StreamName};

/// The longest name of a topic.
const LONGEST: usize = 249;
/// Ends the topic of a stream whose own name a topic can't have.
const ESCAPED: &str = ".esc";
/// Ends a topic of dead letters, before a hash.
const DEAD: &str = ".dlq-";
/// Ends a topic of messages that are to come again, before a hash.
const RETRY: &str = ".retry-";
/// Stands between stream and group in a group's id; neither can have it.
const SEPARATOR: char = '/';

/// The topic of a stream; another one where the server can't have that.
///
/// A name that Kafka allows is its own topic. One with a colon, and one that looks like those made here, is escaped.
pub(crate) fn topic(stream: &StreamName) -> String {
    let name = stream.as_str();
    if name.contains(':') || is_ours(name) {
        return escaped(name);
    }
    name.to_owned()
}

/// The topic of a stream whose own name the server holds for that of another topic: it takes `.` and `_` for one.
pub(crate) fn second_choice(stream: &StreamName) -> Option<String> {
    let name = stream.as_str();
    let odd = name.contains(['.', '_']) && topic(stream) == name;
    odd.then(|| escaped(name))
}

/// The stream of a topic; `None` where the topic is none of a stream.
pub(crate) fn stream(topic: &str) -> Option<StreamName> {
    if topic.starts_with("__") || is_beside(topic) {
        return None;
    }
    let Some(escaped) = topic.strip_suffix(ESCAPED) else {
        return StreamName::new(topic).ok();
    };
    let mut name = String::new();
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '-' => match chars.next()? {
                '-' => '-',
                'c' => ':',
                'd' => '.',
                'u' => '_',
                _ => return None,
            },
            plain => plain,
        });
    }
    StreamName::new(name).ok()
}

/// The topic of a group's dead letters.
pub(crate) fn dead_letters(stream: &StreamName, group: &GroupName) -> String {
    beside(stream, group, DEAD)
}

/// The topic of a group's messages that are to come again.
pub(crate) fn retry(stream: &StreamName, group: &GroupName) -> String {
    beside(stream, group, RETRY)
}

/// Whether a topic may be one that lies beside the stream's.
pub(crate) fn may_be_beside(topic: &str, stream: &StreamName) -> bool {
    is_beside(topic) && topic.starts_with(&narrowed(&format!("{stream}.")))
}

/// The id of a stream's group: what a group commits of one stream is no affair of the others.
pub(crate) fn group_id(stream: &StreamName, group: &GroupName) -> String {
    format!("{stream}{SEPARATOR}{group}")
}

/// The group of an id, where it is one of the stream's.
pub(crate) fn group_of(id: &str, stream: &StreamName) -> Option<GroupName> {
    let group = id.strip_prefix(stream.as_str())?.strip_prefix(SEPARATOR)?;
    GroupName::new(group).ok()
}

fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match c {
            '-' => text.push_str("--"),
            ':' => text.push_str("-c"),
            '.' => text.push_str("-d"),
            '_' => text.push_str("-u"),
            plain => text.push(plain),
        }
    }
    if text.len() + ESCAPED.len() > LONGEST {
        text.truncate(LONGEST - 17 - ESCAPED.len());
        let _ = write!(text, "-{:016x}", hash(name));
    }
    text.push_str(ESCAPED);
    text
}

fn is_ours(topic: &str) -> bool {
    topic.ends_with(ESCAPED) || is_beside(topic) || topic.starts_with("__")
}

/// A topic of a stream's group beside the stream's own.
fn beside(stream: &StreamName, group: &GroupName, kind: &str) -> String {
    let hash = hash(&format!("{stream}{SEPARATOR}{group}"));
    let mut name = narrowed(&format!("{stream}.{group}"));
    name.truncate(LONGEST - kind.len() - 16);
    let _ = write!(name, "{kind}{hash:016x}");
    name
}

fn narrowed(name: &str) -> String {
    let narrow = |c| if matches!(c, ':' | '_') { '-' } else { c };
    name.chars().map(narrow).collect()
}

fn is_beside(topic: &str) -> bool {
    let is_hash = |hash: &str| {
        let mut bytes = hash.bytes();
        hash.len() == 16 && bytes.all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    [DEAD, RETRY]
        .iter()
        .any(|kind| topic.rsplit_once(kind).is_some_and(|(_, hash)| is_hash(hash)))
}

/// FNV-1a, which is the same in every version of everything.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> StreamName {
        StreamName::new(text).unwrap()
    }

    proptest! {
        #[test]
        fn every_stream_has_a_topic_that_kafka_allows(text in "[A-Za-z0-9._:-]{1,200}", group in "[A-Za-z0-9._:-]{1,200}") {
            prop_assume!(text != "." && text != ".." && group != "." && group != "..");
            let stream = name(&text);
            let group = GroupName::new(group).unwrap();
            let topics = [topic(&stream), dead_letters(&stream, &group), retry(&stream, &group)];
            for topic in topics.into_iter().chain(second_choice(&stream)) {
                prop_assert!(topic.len() <= LONGEST);
                prop_assert!(topic.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
            }
            prop_assert_eq!(group_of(&group_id(&stream, &group), &stream), Some(group));
        }

        #[test]
        fn two_streams_never_share_a_topic(one in "[a:.-]{1,9}(\\.esc)?", other in "[a:.-]{1,9}(\\.esc)?") {
            let valid = |text: &str| text != "." && text != "..";
            prop_assume!(valid(&one) && valid(&other) && one != other);
            prop_assert_ne!(topic(&name(&one)), topic(&name(&other)));
        }

        #[test]
        fn a_topic_tells_its_stream(text in "[A-Za-z0-9._:-]{1,60}") {
            prop_assume!(text != "." && text != "..");
            let stream = name(&text);
            prop_assert_eq!(super::stream(&topic(&stream)), Some(stream.clone()));
            if let Some(second) = second_choice(&stream) {
                prop_assert_eq!(super::stream(&second), Some(stream));
            }
        }
    }

    #[test]
    fn plain_names_are_their_own_topics() {
        for text in ["orders", "orders.v1", "orders_v1", "Orders-1"] {
            assert_eq!(topic(&name(text)), text);
        }
        assert_eq!(topic(&name("a:b")), "a-cb.esc");
    }

    #[test]
    fn what_lies_beside_a_stream_lies_apart_for_each_group_and_is_no_stream() {
        for (beside, start) in [
            (dead_letters as fn(&_, &_) -> _, "orders.billing.dlq-"),
            (retry, "orders.billing.retry-"),
        ] {
            let of = |stream: &str, group: &str| beside(&name(stream), &GroupName::new(group).unwrap());
            assert_ne!(of("a.b", "c"), of("a", "b.c"));
            assert!(of("orders", "billing").starts_with(start));
            assert!(stream(&of("orders", "billing")).is_none());
            assert!(may_be_beside(&of("orders", "billing"), &name("orders")));
        }
    }
}
