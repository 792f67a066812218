//! What streams and groups are called at the server.

use broker_core::{Error, ErrorKind, GroupName, Message, Result, StreamName};
use lapin::types::ShortString;

use crate::config::RabbitMqConfig;

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

/// A stream's exchange.
pub(crate) fn exchange(config: &RabbitMqConfig, stream: &StreamName) -> Result<ShortString> {
    short(
        "exchange's name",
        config.exchange.replace("{stream}", stream.as_str()),
    )
}

/// A group's queue.
pub(crate) fn queue(config: &RabbitMqConfig, stream: &StreamName, group: &GroupName) -> Result<ShortString> {
    // One pass each: a name has no braces, so that none can smuggle in another.
    let name = config.queue.replace("{stream}", stream.as_str());
    short("queue's name", name.replace("{group}", group.as_str()))
}

/// What a message is routed by.
pub(crate) fn routing_key(
    config: &RabbitMqConfig,
    stream: &StreamName,
    message: &Message,
) -> Result<ShortString> {
    let text = &config.routing_key;
    let text = text.replace("{stream}", stream.as_str());
    if !text.contains("{key}") {
        return short("routing key", text);
    }
    let key = message.message_key().map_or(&b""[..], |key| key);
    let key = std::str::from_utf8(key).map_err(|_| {
        Error::new(
            ErrorKind::InvalidMessage,
            "the key is not UTF-8 and messages are routed by it; change the key or `routing_key`",
        )
    })?;
    short("routing key", text.replace("{key}", key))
}

/// A group's dead letters. A slash more than any group's queue has, so that no name leads to another's.
pub(crate) fn dead(queue: &str) -> Result<ShortString> {
    short("queue's name", format!("{queue}/dead"))
}

/// Where a group's refused messages rest for so many milliseconds.
pub(crate) fn resting(queue: &str, ms: u64) -> Result<ShortString> {
    short("queue's name", format!("{queue}/again/{ms}"))
}

/// Where a stream's delayed messages rest for so many milliseconds.
pub(crate) fn delayed(stream: &StreamName, ms: u64) -> Result<ShortString> {
    short("queue's name", format!("{stream}//delayed/{ms}"))
}
