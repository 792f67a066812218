//! Exchanges and queues: made once for each connection, and again where they are gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use broker_core::{ErrorKind, GroupName, Result, StreamName};
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use tokio::time::Instant;

use crate::client::{Client, lock};
use crate::config::{ExchangeType, QueueType, RabbitMqConfig};
use crate::connection::Live;
use crate::error::from_lapin;
use crate::names;

/// How many names are kept as made; beyond that they are made anew, which changes nothing.
const KEPT: usize = 16_384;

/// A server of the 4th series drops what was redelivered more often than its limit, 20 by default. How often a message
/// is delivered is for the framework to say, which keeps it as a dead letter then.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

/// What was made on which connection.
#[derive(Default)]
pub(crate) struct Known {
    streams: Mutex<HashMap<StreamName, Weak<Live>>>,
    queues: Mutex<HashMap<ShortString, Weak<Live>>>,
    /// Queues that the server removes when they are idle, and when they were last made.
    passing: Mutex<HashMap<ShortString, Instant>>,
    /// One making of a log at a time: the server fails, with the connection, where one is declared twice at once.
    logs: tokio::sync::Mutex<()>,
}

impl Known {
    /// Forgets a stream, so that its next use makes it again.
    pub(crate) fn forget_stream(&self, stream: &StreamName) {
        lock(&self.streams).remove(stream);
    }

    /// Forgets a queue.
    pub(crate) fn forget_queue(&self, queue: &str) {
        lock(&self.queues).remove(queue);
        lock(&self.passing).remove(queue);
    }
}

fn has<K: Hash + Eq>(map: &Mutex<HashMap<K, Weak<Live>>>, key: &K, live: &Arc<Live>) -> bool {
    lock(map)
        .get(key)
        .is_some_and(|on| on.as_ptr() == Arc::as_ptr(live))
}

fn keep<K: Hash + Eq>(map: &Mutex<HashMap<K, Weak<Live>>>, key: K, live: &Arc<Live>) {
    let mut map = lock(map);
    if map.len() >= KEPT {
        map.clear();
    }
    map.insert(key, Arc::downgrade(live));
}

impl Client {
    /// The stream's exchange, which is there when this returns.
    pub(crate) async fn stream(&self, stream: &StreamName) -> Result<ShortString> {
        let exchange = names::exchange(&self.config, stream)?;
        if !self.config.declare {
            return Ok(exchange);
        }
        let live = self.to_consume().await?;
        if has(&self.known.streams, stream, &live) {
            return Ok(exchange);
        }
        let _alone = match self.config.is_log() {
            true => Some(self.known.logs.lock().await),
            false => None,
        };
        if has(&self.known.streams, stream, &live) {
            return Ok(exchange);
        }
        let channel = live.channel().await?;
        declare_stream(&channel, &self.config, &exchange, stream).await?;
        if self.config.is_log() {
            self.make_log(&channel, &exchange, stream).await?;
        }
        keep(&self.known.streams, stream.clone(), &live);
        Ok(exchange)
    }

    /// Makes the log in which all messages of a stream lie.
    async fn make_log(&self, channel: &Channel, exchange: &ShortString, stream: &StreamName) -> Result<()> {
        let log = names::log(&self.config, stream)?;
        let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
        let mut arguments = FieldTable::default();
        if let Some(age) = self.config.max_age {
            let age = format!("{}s", age.as_secs());
            arguments.insert("x-max-age".into(), AMQPValue::LongString(age.as_bytes().into()));
        }
        if let Some(bytes) = self.config.max_length_bytes {
            arguments.insert("x-max-length-bytes".into(), number(bytes));
        }
        if let Some(bytes) = self.config.max_segment_size_bytes {
            arguments.insert("x-stream-max-segment-size-bytes".into(), number(bytes));
        }
        declare_queue(channel, &log, QueueType::Stream, arguments).await?;
        let (binding, wanted) = self.binding(stream)?;
        let options = QueueBindOptions::default();
        let bound = channel
            .queue_bind(log, exchange.clone(), binding, options, wanted)
            .await;
        bound.map_err(|error| from_lapin(&error))
    }

    /// A log beside a stream's, which is there when this returns.
    pub(crate) async fn log_beside(&self, queue: &ShortString) -> Result<()> {
        let live = self.to_consume().await?;
        let _alone = self.known.logs.lock().await;
        if !has(&self.known.queues, queue, &live) {
            let channel = live.channel().await?;
            declare_queue(&channel, queue, QueueType::Stream, FieldTable::default()).await?;
            keep(&self.known.queues, queue.clone(), &live);
        }
        Ok(())
    }

    /// Whether a queue was made, or seen, on the connection that there is.
    pub(crate) fn is_known(&self, queue: &ShortString) -> bool {
        let live = self.consuming.live();
        live.is_some_and(|live| has(&self.known.queues, queue, &live))
    }

    /// The exchange that all streams lead to, which is there when this returns.
    pub(crate) async fn all_streams(&self) -> Result<()> {
        let all = names::short("exchange's name", names::ALL_STREAMS)?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let channel = self.asking().await?;
        let made = channel
            .exchange_declare(all, ExchangeKind::Topic, durable, FieldTable::default())
            .await;
        made.map_err(|error| from_lapin(&error))
    }

    /// The group's queue, which is there and bound when this returns.
    pub(crate) async fn group(&self, stream: &StreamName, group: &GroupName) -> Result<ShortString> {
        let queue = names::queue(&self.config, stream, group)?;
        if !self.config.declare {
            return Ok(queue);
        }
        let live = self.to_consume().await?;
        if has(&self.known.queues, &queue, &live) {
            return Ok(queue);
        }
        let exchange = self.stream(stream).await?;
        let channel = live.channel().await?;
        let mut arguments = FieldTable::default();
        if self.config.single_active_consumer {
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        declare_queue(&channel, &queue, self.config.queue_type, arguments).await?;
        let (binding, wanted) = self.binding(stream)?;
        channel
            .queue_bind(
                queue.clone(),
                exchange,
                binding,
                QueueBindOptions::default(),
                wanted,
            )
            .await
            .map_err(|error| from_lapin(&error))?;
        keep(&self.known.queues, queue.clone(), &live);
        Ok(queue)
    }

    /// Sees that a group's queue is still there, and makes it again where it is not. Answers whether it was gone.
    pub(crate) async fn find_again(
        &self,
        stream: &StreamName,
        group: &GroupName,
        queue: &ShortString,
    ) -> Result<bool> {
        let mut is_gone = false;
        if self.config.declare {
            let channel = self.asking().await?;
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let there = channel
                .queue_declare(queue.clone(), passive, FieldTable::default())
                .await;
            match there.map_err(|error| from_lapin(&error)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.known.forget_stream(stream);
                    self.known.forget_queue(queue.as_str());
                    is_gone = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.group(stream, group).await.map(|_| is_gone)
    }

    /// What binds a queue to a stream's exchange.
    pub(crate) fn binding(&self, stream: &StreamName) -> Result<(ShortString, FieldTable)> {
        let mut wanted = FieldTable::default();
        for (name, value) in &self.config.binding_headers {
            let value = AMQPValue::LongString(value.as_bytes().into());
            wanted.insert(names::short("header's name", name)?, value);
        }
        Ok((names::binding(&self.config, stream)?, wanted))
    }

    /// A queue beside a group's or a stream's, which is there when this returns.
    pub(crate) async fn beside(&self, queue: &ShortString, arguments: FieldTable) -> Result<()> {
        // Not asking whether the broker is open: one that closes writes down what it knows.
        let live = self.consuming.connect(&self.config, &self.context).await?;
        if has(&self.known.queues, queue, &live) {
            return Ok(());
        }
        let channel = live.channel().await?;
        declare_queue(&channel, queue, self.config.queue_type.beside(), arguments).await?;
        keep(&self.known.queues, queue.clone(), &live);
        Ok(())
    }

    /// A queue that the server removes when it was idle for longer than `fresh`, which is there when this returns.
    pub(crate) async fn passing(
        &self,
        queue: &ShortString,
        fresh: Duration,
        arguments: FieldTable,
    ) -> Result<()> {
        let made = lock(&self.known.passing).get(queue).copied();
        if made.is_some_and(|made| made.elapsed() < fresh) {
            return Ok(());
        }
        let (channel, now) = (self.asking().await?, Instant::now());
        declare_queue(&channel, queue, self.config.queue_type.beside(), arguments).await?;
        let mut passing = lock(&self.known.passing);
        passing.retain(|_, made| made.elapsed() < fresh);
        passing.insert(queue.clone(), now);
        Ok(())
    }
}

async fn declare_stream(
    channel: &Channel,
    config: &RabbitMqConfig,
    exchange: &ShortString,
    stream: &StreamName,
) -> Result<()> {
    let all = names::short("exchange's name", names::ALL_STREAMS)?;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    let (kind, whole) = match config.exchange_type {
        ExchangeType::Fanout => (ExchangeKind::Fanout, None),
        ExchangeType::Headers => (ExchangeKind::Headers, None),
        ExchangeType::Topic => (ExchangeKind::Topic, Some(names::short("binding key", "#")?)),
        ExchangeType::Direct => (ExchangeKind::Direct, names::routing(config, stream)?),
    };
    let made = async {
        for (name, kind) in [(&all, ExchangeKind::Topic), (exchange, kind)] {
            channel
                .exchange_declare(name.clone(), kind, durable, none())
                .await?;
        }
        let options = ExchangeBindOptions::default();
        channel
            .exchange_bind(
                all.clone(),
                exchange.clone(),
                whole.unwrap_or_default(),
                options,
                none(),
            )
            .await
    };
    made.await
        .map_err(|error| from_lapin(&error).with("exchange", exchange))
}

async fn declare_queue(
    channel: &Channel,
    queue: &ShortString,
    queue_type: QueueType,
    mut arguments: FieldTable,
) -> Result<()> {
    let text = |text: &str| AMQPValue::LongString(text.as_bytes().into());
    arguments.insert("x-queue-type".into(), text(queue_type.as_str()));
    if queue_type == QueueType::Quorum {
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    }
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let made = channel.queue_declare(queue.clone(), durable, arguments).await;
    made.map(drop)
        .map_err(|error| from_lapin(&error).with("queue", queue))
}
