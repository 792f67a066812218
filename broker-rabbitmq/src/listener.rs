//! Readers of their own, which belong to no group: a queue that goes with its connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::base::{BoxFuture, Deliveries, ListenRequest, Lot, ReadEndpoint, Source};
use broker_core::{BrokerEvent, Error, ErrorKind, Receipt, Result, Retry, StreamName, StreamPattern};
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use crate::client::{Client, lock};
use crate::entry::{Entries, Entry};
use crate::error::from_lapin;
use crate::hearing::{Gap, Hearing};
use crate::names;

/// How many messages the server sends ahead of what was read.
const PREFETCH: u16 = 1024;

/// A reader of its own.
pub(crate) struct Listener {
    client: Arc<Client>,
    source: Source,
    hearing: Mutex<Hearing<lapin::Consumer>>,
    /// What it hears by.
    channel: Mutex<Option<Channel>>,
    turn: tokio::sync::Mutex<()>,
}

impl Listener {
    pub(crate) async fn new(client: &Arc<Client>, request: &ListenRequest) -> Result<Self> {
        let listener = Self {
            client: Arc::clone(client),
            source: request.source.clone(),
            hearing: Mutex::default(),
            channel: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        };
        listener.open().await?;
        Ok(listener)
    }

    /// Listens, unless it does; after a lost connection, tells what may be missing.
    async fn open(&self) -> Result<()> {
        // One that lost its connection first gives what has come, then tells of its end: only then is there a gap.
        if lock(&self.hearing).is_open() {
            return Ok(());
        }
        let client = &self.client;
        let (exchange, (binding, wanted)) = match &self.source {
            Source::Stream(stream) => (client.stream(stream).await?, client.binding(stream)?),
            Source::Pattern(pattern) => {
                client.all_streams().await?;
                let all = names::short("exchange's name", names::ALL_STREAMS)?;
                let binding = names::short("binding key", words(pattern))?;
                (all, (binding, FieldTable::default()))
            }
        };
        let channel = client.asking().await?;
        let opening = async {
            let (passing, none) = (
                QueueDeclareOptions {
                    exclusive: true,
                    auto_delete: true,
                    ..QueueDeclareOptions::default()
                },
                FieldTable::default,
            );
            let mut arguments = none();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
            let queue = channel
                .queue_declare(ShortString::default(), passing, arguments)
                .await?;
            let (queue, options) = (queue.name().clone(), QueueBindOptions::default());
            channel
                .queue_bind(queue.clone(), exchange, binding, options, wanted)
                .await?;
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions {
                exclusive: true,
                ..BasicConsumeOptions::default()
            };
            channel
                .basic_consume(queue, ShortString::default(), options, none())
                .await
        };
        let deliveries = opening.await.map_err(|error| from_lapin(&error))?;
        let gap = lock(&self.hearing).open(deliveries);
        *lock(&self.channel) = Some(channel);
        if let Some(Gap { since, lasted }) = gap {
            let name = match &self.source {
                Source::Stream(stream) => Ok(stream.clone()),
                Source::Pattern(pattern) => StreamName::new(pattern.as_str().replace('*', "_")),
            };
            if let Ok(stream) = name {
                self.client.context.events.send(BrokerEvent::Gap {
                    stream,
                    since,
                    lasted,
                });
            }
        }
        Ok(())
    }

    /// The stream a message came by, if it is one of ours: a star of the server's covers a whole word.
    fn stream_of(&self, delivery: &lapin::message::Delivery) -> Option<StreamName> {
        match &self.source {
            Source::Stream(stream) => Some(stream.clone()),
            Source::Pattern(pattern) => {
                let name = delivery.routing_key.as_str();
                let name = pattern.matches(name).then(|| StreamName::new(name));
                name.and_then(Result::ok)
            }
        }
    }

    async fn listen(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        self.client.check_open()?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let until = Instant::now() + wait;
        let Ok(_turn) = tokio::time::timeout_at(until, self.turn.lock()).await else {
            return Ok(Deliveries::new());
        };
        let mut closing = std::pin::pin!(self.client.closing.notified());
        closing.as_mut().enable();
        self.client.check_open()?;
        self.open().await?;
        let arrival = std::future::poll_fn(|context| {
            let stream_of = |delivery: &_| self.stream_of(delivery);
            lock(&self.hearing).poll(max, stream_of, context)
        });
        tokio::select! {
            // Nothing has come in time.
            _ = tokio::time::timeout_at(until, arrival) => {}
            () = closing => return Err(Error::closed()),
        };
        let Some(came) = lock(&self.hearing).take() else {
            let line = "the connection of this reader is gone";
            return Err(Error::new(ErrorKind::Connection, line).retry(Retry::Safe));
        };
        let channel = lock(&self.channel).clone();
        if let (Some((_, last)), Some(channel)) = (came.last(), channel) {
            // Nothing is settled here: the server is told only how much it may send.
            let _ = channel
                .basic_ack(last.tag, BasicAckOptions { multiple: true })
                .await;
        }
        Ok(self.batch(came))
    }

    fn batch(&self, came: Vec<(StreamName, Entry)>) -> Deliveries {
        let mut deliveries = Deliveries::new();
        let mut came = came.into_iter().peekable();
        while let Some((stream, entry)) = came.next() {
            let mut entries = vec![entry];
            while let Some((_, entry)) = came.next_if(|(next, _)| *next == stream) {
                entries.push(entry);
            }
            let receipts = entries.iter().map(|entry| Receipt {
                attempt: 1,
                sequence: entry.tag,
                ..Receipt::default()
            });
            let receipts = receipts.collect();
            let mut lot = Lot::each(Entries::new(entries), receipts);
            if matches!(self.source, Source::Pattern(_)) {
                lot.stream = Some(stream);
            }
            deliveries.push(lot);
        }
        deliveries
    }
}

/// A pattern as the server has it: a star there is a whole word.
fn words(pattern: &StreamPattern) -> String {
    let word = |word| {
        if StreamPattern::is_pattern(word) {
            "*"
        } else {
            word
        }
    };
    pattern
        .as_str()
        .split('.')
        .map(word)
        .collect::<Vec<_>>()
        .join(".")
}

impl ReadEndpoint for Listener {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.listen(max, wait))
    }

    fn settles(&self) -> bool {
        false
    }
}
