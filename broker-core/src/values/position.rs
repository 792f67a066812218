//! Where reading starts, and in which order it goes on.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Error, ErrorKind, MessageId};

/// Where a group that is not there yet starts, or where an existing one is moved to.
///
/// ```
/// use broker::StartPosition;
///
/// let noon: StartPosition = "time:2026-01-31T12:00:00Z".parse()?;
/// assert!(matches!(noon, StartPosition::Time(_)));
/// assert_eq!("id:1:42".parse::<StartPosition>()?.to_string(), "id:1:42");
/// assert_eq!(StartPosition::default(), StartPosition::Earliest);
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartPosition {
    /// The oldest message still kept. The default: nothing is missed.
    #[default]
    Earliest,
    /// What is published from now on.
    Latest,
    /// This message, or the next one after it that is still kept.
    Id(MessageId),
    /// The first message published at this time or later.
    Time(SystemTime),
}

impl fmt::Display for StartPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Id(id) => write!(f, "id:{id}"),
            Self::Time(time) => write!(f, "time:{}", humantime::format_rfc3339_nanos(*time)),
        }
    }
}

impl FromStr for StartPosition {
    type Err = Error;

    /// Reads `earliest`, `latest`, `id:ID`, `time:2026-01-31T12:00:00Z`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            None if text.eq_ignore_ascii_case("earliest") => Ok(Self::Earliest),
            None if text.eq_ignore_ascii_case("latest") => Ok(Self::Latest),
            Some(("id", id)) => Ok(Self::Id(id.parse()?)),
            Some(("time", time)) => humantime::parse_rfc3339_weak(time)
                .map(Self::Time)
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Config,
                        format!("`{time}` is not a time such as 2026-01-31T12:00:00Z"),
                    )
                    .source(error)
                }),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "unknown start `{text}`; `earliest`, `latest`, `id:ID` or `time:RFC3339` is expected"
                ),
            )),
        }
    }
}

impl Serialize for StartPosition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StartPosition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

/// How redelivery and order go together within a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// Messages are handed out in publish order; one that is redelivered comes after those already handed out.
    #[default]
    Publish,
    /// A key's next message is handed out only once the one before it is settled for good: a failing message parks
    /// its key and only its key. Messages without a key are free of each other.
    Sequential,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_their_text() {
        for position in [
            StartPosition::Earliest,
            StartPosition::Latest,
            StartPosition::Id(MessageId::Offset {
                partition: 1,
                offset: 2,
            }),
            StartPosition::Time(
                SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_700_000_000_123_456_789),
            ),
        ] {
            assert_eq!(position.to_string().parse::<StartPosition>().unwrap(), position);
        }
        assert!(
            "newest"
                .parse::<StartPosition>()
                .unwrap_err()
                .to_string()
                .contains("unknown start `newest`")
        );
    }
}
