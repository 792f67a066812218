//! Channels that messages are sent by, with many confirmations outstanding.

use std::collections::HashSet;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use broker_core::{Error, ErrorKind, MessageId, Outcome, Result, Retry};
use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};

use crate::client::Client;
use crate::codec;
use crate::error::from_lapin;

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

/// The place of one channel: whoever has its turn may send by it.
#[derive(Default)]
pub(crate) struct Slot(Arc<tokio::sync::Mutex<Option<Channel>>>);

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
            if let Ok(mut channel) = slot.0.try_lock() {
                *channel = None;
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
        self.send_by(Senders::slot(&self.senders.outside, stream), messages, mandatory)
            .await
    }

    /// Puts messages into queues, and answers once the server has them all.
    pub(crate) async fn put(&self, messages: Vec<Outgoing>) -> Result<()> {
        let Some(first) = messages.first() else {
            return Ok(());
        };
        let slot = Senders::slot(&self.senders.inside, first.routing_key.as_str());
        let outcomes = self.send_by(slot, messages, true).await?;
        outcomes
            .into_iter()
            .try_for_each(|outcome| outcome.into_result().map(drop))
    }

    async fn send_by(&self, slot: &Slot, messages: Vec<Outgoing>, mandatory: bool) -> Result<Vec<Outcome>> {
        let live = self.to_publish().await?;
        // A server that lacks memory or disk is waited for, before anything is under way.
        live.unblocked().await;
        let mut turn = slot.0.lock().await;
        let channel = match turn.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => {
                let channel = self.to_publish().await?.channel().await?;
                let confirming = channel.confirm_select(ConfirmSelectOptions::default()).await;
                confirming.map_err(|error| from_lapin(&error))?;
                channel
            }
        };
        let options = BasicPublishOptions {
            mandatory,
            ..BasicPublishOptions::default()
        };
        let ids: Vec<_> = messages.iter().map(|message| message.id.clone()).collect();
        let sending = Sending::start(&channel, messages, options).await;
        if mandatory {
            // The library hands a returned message out with whichever confirmation comes next. Only who is alone on a
            // channel can tell whose it is; who is dropped meanwhile leaves the channel to nobody.
            let (outcomes, returned) = sending.confirmed().await;
            *turn = Some(channel);
            return Ok(attribute(outcomes, &returned, ids));
        }
        *turn = Some(channel);
        drop(turn);
        let (outcomes, _) = sending.confirmed().await;
        Ok(attribute(outcomes, &HashSet::new(), ids))
    }
}

/// Messages under way.
struct Sending(Vec<Result<PublisherConfirm, Outcome>>);

/// What became of a message, but for its id.
type Fate = Result<(), Outcome>;

impl Sending {
    /// Hands all messages to the connection, in order.
    async fn start(channel: &Channel, messages: Vec<Outgoing>, options: BasicPublishOptions) -> Self {
        type Publishing<'a> = Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send + 'a>>;
        let mut publishing: Vec<(Publishing<'_>, Option<_>)> = Vec::with_capacity(messages.len());
        for message in messages {
            let future = async move {
                let Outgoing {
                    exchange,
                    routing_key,
                    payload,
                    properties,
                    ..
                } = message;
                channel
                    .basic_publish(exchange, routing_key, options, &payload, properties)
                    .await
            };
            publishing.push((Box::pin(future), None));
        }
        // The first poll puts a message into the connection's buffer: in order, and without waiting for each.
        std::future::poll_fn(|context| {
            for (future, answer) in &mut publishing {
                if let Poll::Ready(ready) = future.as_mut().poll(context) {
                    *answer =
                        Some(ready.map_err(|error| Outcome::NotSent(from_lapin(&error).retry(Retry::Safe))));
                }
            }
            Poll::Ready(())
        })
        .await;
        let mut confirms = Vec::with_capacity(publishing.len());
        for (future, answer) in publishing {
            confirms.push(match answer {
                Some(answer) => answer,
                None => future.await.map_err(|error| Outcome::Unknown(from_lapin(&error))),
            });
        }
        Self(confirms)
    }

    /// Waits for all confirmations; with the ids of what went to nobody.
    async fn confirmed(self) -> (Vec<Fate>, HashSet<MessageId>) {
        let (mut fates, mut returned) = (Vec::with_capacity(self.0.len()), HashSet::new());
        for confirm in self.0 {
            let fate = match confirm {
                Err(outcome) => Err(outcome),
                Ok(confirm) => match confirm.await {
                    Ok(confirmation) => {
                        let stored = confirmation.is_ack();
                        if let Some(message) = Confirmation::take_message(confirmation) {
                            returned.insert(codec::decode(Vec::new(), &message.delivery.properties).meta.id);
                        }
                        if stored {
                            Ok(())
                        } else {
                            Err(Outcome::Unknown(refused()))
                        }
                    }
                    Err(error) => Err(Outcome::Unknown(from_lapin(&error))),
                },
            };
            fates.push(fate);
        }
        (fates, returned)
    }
}

fn attribute(fates: Vec<Fate>, returned: &HashSet<MessageId>, ids: Vec<MessageId>) -> Vec<Outcome> {
    let outcomes = fates.into_iter().zip(ids).map(|(fate, id)| match fate {
        Ok(()) if returned.contains(&id) => Outcome::NotSent(to_nobody()),
        Ok(()) => Outcome::Stored(id),
        Err(outcome) => outcome,
    });
    outcomes.collect()
}

fn to_nobody() -> Error {
    let line =
        "the message would go to nobody; make a group first, or set `mandatory = false` to let it be lost";
    Error::new(ErrorKind::NotFound, line)
}

fn refused() -> Error {
    Error::new(
        ErrorKind::Throttled,
        "a queue did not take the message; see its limits and its node",
    )
}
