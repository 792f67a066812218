//! Readers of their own, which belong to no group: a queue that goes with its connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use broker_core::base::{BoxFuture, Deliveries, ListenRequest, Lot, ReadEndpoint, Source};
use broker_core::{BrokerEvent, Error, ErrorKind, Receipt, Result, Retry, StreamName, StreamPattern};
use futures_util::Stream;
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use crate::client::{Client, lock};
use crate::config::QueueType;
use crate::entry::{Entries, Entry};
use crate::error::from_lapin;
use crate::names;

/// How many messages the server sends ahead of what was read.
const PREFETCH: u16 = 1024;

/// A reader of its own.
pub(crate) struct Listener {
    client: Arc<Client>,
    source: Source,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    came: Vec<(StreamName, Entry)>,
    /// Since when nothing is heard.
    lost: Option<(Instant, SystemTime)>,
}

struct Open {
    channel: Channel,
    stream: lapin::Consumer,
}

impl Listener {
    pub(crate) async fn new(client: &Arc<Client>, request: &ListenRequest) -> Result<Self> {
        let listener = Self {
            client: Arc::clone(client),
            source: request.source.clone(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        };
        listener.open().await?;
        Ok(listener)
    }

    /// Listens, unless it does; after a lost connection, tells what may be missing.
    async fn open(&self) -> Result<()> {
        // One that lost its connection first gives what has come, then tells of its end: only then is there a gap.
        if lock(&self.state).open.is_some() {
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
        let stream = opening.await.map_err(|error| from_lapin(&error))?;
        let mut state = lock(&self.state);
        state.open = Some(Open { channel, stream });
        if let Some((since, when)) = state.lost.take() {
            let name = match &self.source {
                Source::Stream(stream) => Ok(stream.clone()),
                Source::Pattern(pattern) => StreamName::new(pattern.as_str().replace('*', "_")),
            };
            if let Ok(stream) = name {
                self.client.context.events.send(BrokerEvent::Gap {
                    stream,
                    since: when,
                    lasted: since.elapsed(),
                });
            }
        }
        Ok(())
    }

    /// Takes what the server has sent by now. Answers whether the sending goes on.
    fn drain(&self, state: &mut State, max: usize, context: &mut std::task::Context<'_>) -> bool {
        let State { open, came, .. } = state;
        let Some(open) = open else { return false };
        while came.len() < max {
            match Pin::new(&mut open.stream).poll_next(context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(delivery))) => {
                    let Some(stream) = self.stream_of(&delivery) else {
                        continue;
                    };
                    came.push((stream, Entry::new(delivery, QueueType::Classic)));
                }
                Poll::Ready(Some(Err(_)) | None) => return false,
            }
        }
        true
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
            let mut state = lock(&self.state);
            let goes_on = self.drain(&mut state, max, context);
            if !state.came.is_empty() || !goes_on {
                return Poll::Ready(goes_on);
            }
            Poll::Pending
        });
        let goes_on = tokio::select! {
            goes_on = tokio::time::timeout_at(until, arrival) => goes_on.unwrap_or(true),
            () = closing => return Err(Error::closed()),
        };
        let (came, channel) = {
            let mut state = lock(&self.state);
            let came = std::mem::take(&mut state.came);
            let channel = state.open.as_ref().map(|open| open.channel.clone());
            if !goes_on {
                state.open = None;
                state
                    .lost
                    .get_or_insert_with(|| (Instant::now(), SystemTime::now()));
            }
            (came, channel)
        };
        if !goes_on && came.is_empty() {
            return Err(
                Error::new(ErrorKind::Connection, "the connection of this reader is gone").retry(Retry::Safe),
            );
        }
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
