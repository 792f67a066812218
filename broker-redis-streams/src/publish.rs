//! Publishing: one pipeline a batch, one answer a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use broker_core::{Error, Message, MessageId, Outcome, Published, Result, StreamName, partition_for_key};
use redis::{Cmd, Value};

use crate::client::{Client, Topic};
use crate::group::EVERYBODY;
use crate::keys::StreamKeys;
use crate::retention::Keeper;
use crate::scripts::{DELAY, PUBLISH_ONCE, Script};
use crate::time::{EntryId, millis};
use crate::{codec, error, reply};

/// A stream to publish to.
pub(crate) struct Publisher {
    pub(crate) client: Arc<Client>,
    pub(crate) topic: Topic,
    /// Where the next message without a key goes.
    next: AtomicUsize,
    keeper: Arc<Keeper>,
    /// One at a time sends again what met a server that had forgotten the scripts, in the order of the batches.
    again: tokio::sync::Mutex<()>,
}

/// How a message goes to the server.
enum Sent {
    /// By one command of the pipeline, perhaps a script's call, to a partition where there are several.
    Asked(Option<&'static Script>, Option<u32>),
    /// By a command of the pipeline that answers no id.
    Delayed(MessageId),
    /// Not at all.
    Refused(Error),
}

impl Publisher {
    pub(crate) async fn new(client: &Arc<Client>, stream: &StreamName) -> Result<Self> {
        Ok(Self {
            client: Arc::clone(client),
            topic: client.topic(stream).await?,
            next: AtomicUsize::new(0),
            keeper: Arc::default(),
            again: tokio::sync::Mutex::default(),
        })
    }

    /// The partition that a message belongs to: by its key, or in turn.
    fn partition(&self, message: &Message) -> Result<&StreamKeys> {
        let count = self.topic.len();
        // Where ids are remembered, one of a message without a key has to lead to the same place each time.
        let id = || {
            message
                .message_id()
                .filter(|_| self.client.config.dedup_window.is_some())
        };
        let key = message.message_key().map(|key| &**key);
        let number = match key.or_else(|| id().map(str::as_bytes)) {
            _ if count == 1 => 0,
            Some(key) => {
                let number = partition_for_key(key, u32::try_from(count).unwrap_or(u32::MAX));
                usize::try_from(number).unwrap_or(0)
            }
            None => self.next.fetch_add(1, Ordering::Relaxed) % count,
        };
        let keys = self.topic.get(number).map(|keys| &**keys);
        keys.ok_or_else(|| error::odd_reply("GET"))
    }

    /// Stores messages in order.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<Published> {
        let mut pipeline = redis::Pipeline::with_capacity(messages.len());
        let sent: Vec<_> = messages
            .iter()
            .map(|message| match self.command(message) {
                Ok((command, sent)) => {
                    pipeline.add_command(command);
                    sent
                }
                Err(error) => Sent::Refused(error),
            })
            .collect();
        let mut answers = self.client.pipeline(&pipeline).await?.into_iter();
        let _in_order = match answers.as_slice().iter().any(is_forgotten) {
            true => Some(self.again.lock().await),
            false => None,
        };
        let mut commands = pipeline.cmd_iter();
        let mut outcomes = Vec::with_capacity(sent.len());
        for sent in sent {
            if let Sent::Refused(error) = sent {
                outcomes.push(Outcome::NotSent(error));
                continue;
            }
            let command = commands.next();
            let Some(answer) = answers.next() else {
                outcomes.push(Outcome::Unknown(error::odd_reply("XADD")));
                continue;
            };
            outcomes.push(match sent {
                Sent::Delayed(id) => self
                    .outcome_of(&DELAY, command, answer)
                    .await
                    .map_or_else(refused, |_| Outcome::Stored(id)),
                Sent::Asked(Some(script), partition) => self
                    .outcome_of(script, command, answer)
                    .await
                    .map_or_else(refused, |id| stored(&id, partition)),
                Sent::Asked(None, partition) => {
                    reply::granted(answer).map_or_else(refused, |id| stored(&id, partition))
                }
                Sent::Refused(error) => Outcome::NotSent(error),
            });
        }
        let count = u64::try_from(outcomes.len()).unwrap_or(u64::MAX);
        self.keeper.published(&self.client, &self.topic, count);
        Ok(Published::each(outcomes))
    }

    fn command(&self, message: &Message) -> Result<(Cmd, Sent)> {
        let format = self.client.config.format;
        codec::check(message, format)?;
        let keys = self.partition(message)?;
        if let Some(delay) = message.delivery_delay().filter(|delay| !delay.is_zero()) {
            let number = delayed_number();
            let mut call = DELAY.call(&[&keys.delayed]);
            call.arg(millis(delay))
                .arg(format!("{number:020}"))
                .arg(&keys.wake)
                .arg(format!("{} {} {EVERYBODY}", keys.partition, millis(delay)));
            codec::encode(message, format, &mut call);
            self.client.due_in(&keys.name, delay);
            let id = MessageId::Text(format!("delayed:{number:020}").into());
            return Ok((call, Sent::Delayed(id)));
        }
        if let (Some(window), Some(id)) = (self.client.config.dedup_window, message.message_id()) {
            let seen = format!("{}{id}", keys.seen);
            let mut call = PUBLISH_ONCE.call(&[&keys.entries, &seen]);
            call.arg(millis(window).max(1));
            codec::encode(message, format, &mut call);
            return Ok((call, Sent::Asked(Some(&PUBLISH_ONCE), keys.number())));
        }
        let mut add = Cmd::with_capacity(5, message.size() + keys.entries.len() + 16);
        add.arg("XADD").arg(&keys.entries).arg("*");
        codec::encode(message, format, &mut add);
        Ok((add, Sent::Asked(None, keys.number())))
    }

    /// A script's answer; a server that has forgotten the script is taught and asked again.
    async fn outcome_of(&self, script: &Script, call: Option<&Cmd>, answer: Value) -> Result<Value> {
        match (answer, call) {
            (answer, Some(call)) if is_forgotten(&answer) => self.client.run(script, call).await,
            (answer, _) => reply::granted(answer),
        }
    }
}

/// Whether the server does not know the script any more.
fn is_forgotten(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(refusal) if refusal.code() == "NOSCRIPT")
}

fn stored(id: &Value, partition: Option<u32>) -> Outcome {
    let id = match id {
        Value::BulkString(id) => EntryId::parse(id),
        _ => None,
    };
    id.map_or_else(
        || Outcome::Unknown(error::odd_reply("XADD")),
        |id| Outcome::Stored(id.to_message_id(partition)),
    )
}

/// The server refused one message: it is certainly not stored.
fn refused(error: Error) -> Outcome {
    if error.retry_class() == broker_core::Retry::Unknown {
        return Outcome::Unknown(error);
    }
    Outcome::NotSent(error)
}

/// A number that no other delayed message of any process has, and that grows with time.
fn delayed_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    let before = LAST.fetch_max(now, Ordering::Relaxed);
    if before < now {
        return now;
    }
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
