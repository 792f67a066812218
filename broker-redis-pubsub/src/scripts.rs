//! The scripts: steps that are one for every other client.

use broker_core::{Result, StreamName};
use broker_redis_common::Script;
use redis::Value;

use crate::client::Client;
use crate::config::Mode;
use crate::error;
use crate::keys::Keys;

/// The scripts, with their hashes.
pub(crate) struct Scripts {
    pub(crate) list_make: Script,
    pub(crate) list_take: Script,
    pub(crate) list_take_protean: Script,
    pub(crate) queue_make: Script,
    pub(crate) queue_take: Script,
    pub(crate) queue_settle: Script,
    pub(crate) peek: Script,
    pub(crate) remove_group: Script,
    pub(crate) remove_consumer: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            list_make: Script::new(include_str!("scripts/list_make.lua")),
            list_take: Script::new(include_str!("scripts/list_take.lua")),
            list_take_protean: Script::new(include_str!("scripts/list_take_protean.lua")),
            queue_make: Script::new(include_str!("scripts/queue_make.lua")),
            queue_take: Script::new(include_str!("scripts/queue_take.lua")),
            queue_settle: Script::new(include_str!("scripts/queue_settle.lua")),
            peek: Script::new(include_str!("scripts/peek.lua")),
            remove_group: Script::new(include_str!("scripts/remove_group.lua")),
            remove_consumer: Script::new(include_str!("scripts/remove_consumer.lua")),
        }
    }

    /// Those of a mode, which each server is taught.
    pub(crate) fn of(&self, mode: Mode) -> Vec<&Script> {
        let own: &[_] = match mode {
            Mode::Channel => return Vec::new(),
            Mode::List => &[&self.list_make, &self.list_take, &self.list_take_protean],
            Mode::Queue => &[&self.queue_make, &self.queue_take, &self.queue_settle],
        };
        let shared = [&self.peek, &self.remove_group, &self.remove_consumer];
        own.iter().copied().chain(shared).collect()
    }
}

/// Notes that there is such a stream.
pub(crate) async fn register(client: &Client, mode: Mode, stream: &StreamName) -> Result<()> {
    let mut command = redis::cmd("SADD");
    command.arg(Keys::index(mode)).arg(stream.as_str());
    client.ask(&command).await
}

/// A number of a script's answer.
pub(crate) fn number(value: Option<Value>) -> Result<u64> {
    u64::try_from(signed(value)?).map_err(|_| error::odd_reply("a script"))
}

/// A number of a script's answer that may be below zero.
pub(crate) fn signed(value: Option<Value>) -> Result<i64> {
    value
        .and_then(|value| redis::from_redis_value(value).ok())
        .ok_or_else(|| error::odd_reply("a script"))
}

/// The bytes of a message.
pub(crate) fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(error::odd_reply("a script")),
    }
}
