//! What streams and groups are called at the server.

use broker_core::{Error, ErrorKind, GroupName, Message, Result, StreamName};
use lapin::types::ShortString;

use crate::config::{ExchangeType, RabbitMqConfig};

/// The exchange that all streams' exchanges lead to, for patterns: by the stream's name.
pub(crate) const ALL_STREAMS: &str = "broker.streams";

/// The server's own exchange, which leads to the queue that the routing key names.
pub(crate) const DEFAULT_EXCHANGE: &str = "";

/// A name as the protocol has it: at most 255 bytes.
pub(crate) fn short(what: &str, text: impl Into<String>) -> Result<ShortString> {
    let text = text.into();
    let len = text.len();
    ShortString::try_new(text).map_err(|_| {
        Error::new(
            ErrorKind::InvalidName,
            format!(
                "the {what} would have {len} bytes at the server; at most 255 are allowed, shorten the names"
            ),
        )
    })
}

/// A name of an exchange or queue; one that is too long ends in a digest of the whole, so that it stays its own.
fn long(text: String) -> Result<ShortString> {
    const LONGEST: usize = 255;
    if text.len() <= LONGEST {
        return short("name", text);
    }
    // FNV-1a, 128 bits.
    let digest = text
        .bytes()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
        });
    short("name", format!("{}~{digest:032x}", cut(&text, LONGEST - 33)))
}

/// The beginning of `text`, of at most `most` bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A stream's exchange.
pub(crate) fn exchange(config: &RabbitMqConfig, stream: &StreamName) -> Result<ShortString> {
    long(config.exchange.replace("{stream}", stream.as_str()))
}

/// A group's queue.
pub(crate) fn queue(config: &RabbitMqConfig, stream: &StreamName, group: &GroupName) -> Result<ShortString> {
    // A name has no braces, so that none can smuggle in another.
    let name = config.queue.replace("{stream}", stream.as_str());
    long(name.replace("{group}", group.as_str()))
}

/// What all messages of a stream are routed by, where their keys have no part in it.
pub(crate) fn routing(config: &RabbitMqConfig, stream: &StreamName) -> Result<Option<ShortString>> {
    if config.routing_key.contains("{key}") {
        return Ok(None);
    }
    short(
        "routing key",
        config.routing_key.replace("{stream}", stream.as_str()),
    )
    .map(Some)
}

/// What a group's queue is bound to its stream's exchange by.
pub(crate) fn binding(config: &RabbitMqConfig, stream: &StreamName) -> Result<ShortString> {
    let routed = match (config.exchange_type, &config.binding_key) {
        (_, Some(key)) => key,
        (ExchangeType::Direct, None) => &config.routing_key,
        (ExchangeType::Topic, None) if config.is_shared() => &config.routing_key,
        (ExchangeType::Fanout | ExchangeType::Topic | ExchangeType::Headers, None) => "#",
    };
    short("binding key", routed.replace("{stream}", stream.as_str()))
}

/// What a message is routed by where its key has a part in it.
pub(crate) fn routing_by_key(
    config: &RabbitMqConfig,
    stream: &StreamName,
    message: &Message,
) -> Result<ShortString> {
    let text = config.routing_key.replace("{stream}", stream.as_str());
    let key = message.message_key().map_or(&b""[..], |key| key);
    let key = std::str::from_utf8(key).map_err(|_| {
        Error::new(
            ErrorKind::InvalidMessage,
            "the key is not UTF-8 and messages are routed by it; change the key or `routing_key`",
        )
    })?;
    short("routing key", text.replace("{key}", key))
}

/// The stream queue in which a stream's messages lie.
pub(crate) fn log(config: &RabbitMqConfig, stream: &StreamName) -> Result<ShortString> {
    long(config.log_queue.replace("{stream}", stream.as_str()))
}

/// The stream queue in which the names of a stream's groups lie.
pub(crate) fn groups(stream: &StreamName) -> Result<ShortString> {
    long(format!("{stream}//groups"))
}

/// What others may know of a group that reads a log.
pub(crate) fn state(queue: &str) -> Result<ShortString> {
    long(format!("{queue}/state"))
}

/// A group's dead letters. A slash more than any group's queue has, so that no name leads to another's.
pub(crate) fn dead(queue: &str) -> Result<ShortString> {
    long(format!("{queue}/dead"))
}

/// How often messages of a group that is read in order were handed out.
pub(crate) fn attempts(queue: &str) -> Result<ShortString> {
    long(format!("{queue}/attempts"))
}

/// Where a group's refused messages rest for so many milliseconds.
pub(crate) fn resting(queue: &str, ms: u64) -> Result<ShortString> {
    long(format!("{queue}/again/{ms}"))
}

/// Where a stream's delayed messages rest for so many milliseconds.
pub(crate) fn delayed(stream: &StreamName, ms: u64) -> Result<ShortString> {
    long(format!("{stream}//delayed/{ms}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_apart_to_the_last_character() {
        let config = RabbitMqConfig::default();
        let queue = |stream: &str, group: &str| {
            let (stream, group) = (StreamName::new(stream).unwrap(), GroupName::new(group).unwrap());
            super::queue(&config, &stream, &group).unwrap().to_string()
        };
        let long = "x".repeat(199);
        let names = [
            queue(&format!("{long}1"), &long),
            queue(&format!("{long}2"), &long),
            queue(&long, &format!("{long}1")),
        ];
        assert!(names.iter().all(|name| name.len() <= 255));
        assert!(names[0] != names[1] && names[1] != names[2]);
        assert_eq!(queue("a.b", "c"), "a.b/c");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
