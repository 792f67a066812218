//! Channels that messages are sent by, with many confirmations outstanding.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use broker_core::{Error, ErrorKind, MessageId, Outcome, Result, Retry};
use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel};

use crate::client::Client;
use crate::error::from_lapin;
use crate::flight::Flights;

/// How many channels there are; a stream always goes by the same one, which keeps its order.
const CHANNELS: usize = 8;

/// A message that is ready to go.
pub(crate) struct Outgoing {
    pub(crate) id: MessageId,
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) payload: Bytes,
    pub(crate) properties: BasicProperties,
}

/// The channels.
#[derive(Default)]
pub(crate) struct Senders {
    /// What applications publish.
    outside: [Slot; CHANNELS],
    /// What the framework moves from one queue to another, which is never to wait for the former.
    inside: [Slot; CHANNELS],
}

/// The place of one channel: whoever has its turn hands its batch to the connection, in one piece.
#[derive(Default)]
pub(crate) struct Slot(Arc<tokio::sync::Mutex<Option<Line>>>);

/// A channel, and what is under way on it.
struct Line {
    channel: Channel,
    flights: Arc<Flights>,
}

impl Senders {
    fn slot<'a>(slots: &'a [Slot; CHANNELS], name: &str) -> &'a Slot {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % CHANNELS as u64).unwrap_or(0);
        slots.get(at).unwrap_or(&slots[0])
    }

    /// Lets go of the channels that nobody is sending by.
    pub(crate) fn clear(&self) {
        for slot in self.outside.iter().chain(&self.inside) {
            if let Ok(mut line) = slot.0.try_lock() {
                *line = None;
            }
        }
    }
}

impl Client {
    /// Sends messages of a stream in order. Answers for each what became of it.
    pub(crate) async fn send(
        &self,
        stream: &str,
        messages: Vec<Outgoing>,
        mandatory: bool,
    ) -> Result<Vec<Outcome>> {
        let slot = Senders::slot(&self.senders.outside, stream);
        let mut outcomes = self.send_by(slot, messages, mandatory).await?;
        if self.config.single_active_consumer || self.config.is_log() {
            // Those behind a refused one may be stored: sent once more, it would come after them.
            for outcome in &mut outcomes {
                if let Outcome::NotSent(error) = outcome
                    && error.kind() == ErrorKind::Throttled
                {
                    *error = error.clone().retry(Retry::Never);
                }
            }
        }
        Ok(outcomes)
    }

    /// Puts messages into queues, and answers once the server has them all.
    pub(crate) async fn put(&self, messages: Vec<Outgoing>) -> Result<()> {
        let Some(first) = messages.first() else {
            return Ok(());
        };
        let slot = Senders::slot(&self.senders.inside, first.routing_key.as_str());
        let queues: Vec<_> = messages
            .iter()
            .map(|message| message.routing_key.clone())
            .collect();
        let outcomes = self.send_by(slot, messages, true).await?;
        for (outcome, queue) in outcomes.iter().zip(&queues) {
            if matches!(outcome, Outcome::NotSent(error) if error.kind() == ErrorKind::NotFound) {
                // It was removed behind our back: the next try makes it again.
                self.known.forget_queue(queue.as_str());
            }
        }
        outcomes
            .into_iter()
            .try_for_each(|outcome| outcome.into_result().map(drop))
    }

    async fn send_by(&self, slot: &Slot, messages: Vec<Outgoing>, mandatory: bool) -> Result<Vec<Outcome>> {
        // Not asking whether the broker is open: what it moves by itself may go on until the connection is closed.
        let live = self.publishing.connect(&self.config, &self.context).await?;
        // A server that lacks memory or disk is waited for, before anything is under way.
        live.unblocked().await;
        let mut turn = slot.0.lock().await;
        let line = match turn.take().filter(|line| line.channel.status().connected()) {
            Some(line) => line,
            None => {
                let live = self.publishing.connect(&self.config, &self.context).await?;
                let channel = live.channel().await?;
                let confirming = channel.confirm_select(ConfirmSelectOptions::default()).await;
                confirming.map_err(|error| from_lapin(&error))?;
                let flights = Arc::default();
                Line { channel, flights }
            }
        };
        let options = BasicPublishOptions {
            mandatory,
            ..BasicPublishOptions::default()
        };
        let flight = line.flights.begin(&line.channel, messages, options);
        *turn = Some(line);
        drop(turn);
        Ok(flight.await)
    }
}

/// That a message was returned.
pub(crate) fn to_nobody() -> Error {
    let line =
        "the message would go to nobody; make a group first, or set `mandatory = false` to let it be lost";
    Error::new(ErrorKind::NotFound, line)
}

/// That a message was refused.
pub(crate) fn refused() -> Error {
    Error::new(
        ErrorKind::Throttled,
        "a queue did not take the message; see its limits and its node",
    )
}
