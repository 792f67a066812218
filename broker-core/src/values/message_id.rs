//! The broker's name for a stored message.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Error, ErrorKind};

/// The id that the broker gave a message when it stored it, unique within its stream.
///
/// Positions are plain numbers, so that publishing and settling allocate nothing for them.
///
/// ```
/// use broker::MessageId;
///
/// let id: MessageId = "1:42".parse()?;
/// assert_eq!(id, MessageId::Offset { partition: 1, offset: 42 });
/// assert_eq!(id.to_string(), "1:42");
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageId {
    /// A place in a partition's log, written `partition:offset`.
    Offset {
        /// The partition, from zero.
        partition: u32,
        /// The place, from zero.
        offset: u64,
    },
    /// An entry of a Redis stream, written `ms-seq`.
    Entry {
        /// Milliseconds since 1970 on the server's clock.
        ms: u64,
        /// The order within that millisecond.
        seq: u64,
    },
    /// An entry of one of several Redis streams, written `partition:ms-seq`.
    PartitionEntry {
        /// The partition, from zero.
        partition: u32,
        /// Milliseconds since 1970 on the server's clock.
        ms: u64,
        /// The order within that millisecond.
        seq: u64,
    },
    /// Anything else that a broker calls its messages.
    Text(Arc<str>),
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset { partition, offset } => write!(f, "{partition}:{offset}"),
            Self::Entry { ms, seq } => write!(f, "{ms}-{seq}"),
            Self::PartitionEntry { partition, ms, seq } => write!(f, "{partition}:{ms}-{seq}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl FromStr for MessageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text.len() > 512 {
            return Err(Error::new(
                ErrorKind::InvalidMessage,
                format!("a message id has 1 to 512 bytes, not {}", text.len()),
            ));
        }
        // Only the canonical spelling is a number, so that reading and writing are inverse to each other.
        let positions = [
            text.split_once(':').and_then(|(partition, rest)| {
                let partition = partition.parse().ok()?;
                match rest.split_once('-') {
                    Some((ms, seq)) => Some(Self::PartitionEntry {
                        partition,
                        ms: ms.parse().ok()?,
                        seq: seq.parse().ok()?,
                    }),
                    None => Some(Self::Offset {
                        partition,
                        offset: rest.parse().ok()?,
                    }),
                }
            }),
            text.split_once('-').and_then(|(ms, seq)| {
                Some(Self::Entry {
                    ms: ms.parse().ok()?,
                    seq: seq.parse().ok()?,
                })
            }),
        ];
        let canonical = positions
            .into_iter()
            .flatten()
            .find(|position| position.to_string() == text);
        Ok(canonical.unwrap_or_else(|| Self::Text(text.into())))
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_an_id_that_writes_itself(text in ".{1,40}") {
            prop_assert_eq!(text.parse::<MessageId>().unwrap().to_string(), text);
        }

        #[test]
        fn positions_round_trip(partition: u32, a: u64, b: u64) {
            for id in [
                MessageId::Offset { partition, offset: a },
                MessageId::Entry { ms: a, seq: b },
                MessageId::PartitionEntry { partition, ms: a, seq: b },
            ] {
                prop_assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
            }
        }
    }
}
