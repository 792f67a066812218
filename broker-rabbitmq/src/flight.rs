//! Batches under way on one channel, and whose each returned message is.
//!
//! The library hands a returned message out with whichever confirmation comes next, of whichever batch. The server
//! returns a message before it confirms it, so that a batch which is confirmed has its returned messages among the
//! confirmations that are there by then: all of them are looked at before it is told.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use broker_core::{MessageId, Outcome, Retry};
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, PublisherConfirm};

use crate::client::lock;
use crate::codec;
use crate::error::from_lapin;
use crate::sender::{Outgoing, refused, to_nobody};
use crate::told::gone;

/// The batches under way on one channel.
#[derive(Default)]
pub(crate) struct Flights(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    under_way: BTreeMap<u64, Batch>,
    /// What went to nobody and was not told yet.
    returned: HashSet<MessageId>,
}

/// A batch under way.
struct Batch {
    messages: Vec<(MessageId, Stage)>,
    /// How many messages from the first are over.
    over: usize,
    /// Whether what goes to nobody is returned.
    is_mandatory: bool,
    /// Who waits for it; nobody does where its publishing was dropped.
    waker: Waker,
    is_awaited: bool,
}

/// Where a message is on its way.
enum Stage {
    Sending(Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send>>),
    Confirming(PublisherConfirm),
    Over(Result<(), Outcome>),
}

impl Flights {
    /// Hands all messages to the connection, in order, before this returns.
    pub(crate) fn begin(
        self: &Arc<Self>,
        channel: &Channel,
        messages: Vec<Outgoing>,
        options: BasicPublishOptions,
    ) -> Flight {
        let mut batch = Batch {
            messages: Vec::with_capacity(messages.len()),
            over: 0,
            is_mandatory: options.mandatory,
            waker: Waker::noop().clone(),
            is_awaited: true,
        };
        for message in messages {
            let (id, channel) = (message.id, channel.clone());
            let mut sending = Box::pin(async move {
                channel
                    .basic_publish(
                        message.exchange,
                        message.routing_key,
                        options,
                        &message.payload,
                        message.properties,
                    )
                    .await
            });
            // The first poll puts a message into the connection's buffer.
            let stage = match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => Stage::Sending(sending),
                Poll::Ready(Ok(confirm)) => Stage::Confirming(confirm),
                Poll::Ready(Err(error)) => {
                    Stage::Over(Err(Outcome::NotSent(from_lapin(&error).retry(Retry::Safe))))
                }
            };
            batch.messages.push((id, stage));
        }
        let mut state = lock(&self.0);
        let number = state.next;
        state.next += 1;
        state.under_way.insert(number, batch);
        Flight {
            flights: Arc::clone(self),
            number,
        }
    }
}

impl State {
    /// Goes on with one batch, and answers whether it is confirmed.
    fn go_on(&mut self, number: u64) -> bool {
        let Self {
            under_way, returned, ..
        } = self;
        under_way
            .get_mut(&number)
            .is_none_or(|batch| batch.go_on(returned))
    }

    /// Looks at all confirmations that are there.
    fn look(&mut self) {
        let Self {
            under_way, returned, ..
        } = self;
        under_way.retain(|_, batch| !batch.look(returned) || batch.is_awaited);
    }

    fn tell(&mut self, number: u64) -> Vec<Outcome> {
        let Some(batch) = self.under_way.remove(&number) else {
            return Vec::new();
        };
        if batch.is_mandatory {
            self.look();
        }
        let told = batch.messages.into_iter().map(|(id, stage)| {
            let is_returned = self.returned.remove(&id);
            match stage {
                Stage::Over(Ok(())) if is_returned => Outcome::NotSent(to_nobody()),
                Stage::Over(Ok(())) => Outcome::Stored(id),
                Stage::Over(Err(outcome)) => outcome,
                Stage::Sending(_) | Stage::Confirming(_) => Outcome::Unknown(gone()),
            }
        });
        let told = told.collect();
        if self.under_way.is_empty() {
            // Of a batch that nobody waits for.
            self.returned.clear();
        }
        told
    }
}

impl Batch {
    /// Takes what is confirmed, up to the first message that is not.
    fn go_on(&mut self, returned: &mut HashSet<MessageId>) -> bool {
        let mut context = Context::from_waker(&self.waker);
        while let Some((_, stage)) = self.messages.get_mut(self.over) {
            if !stage.go_on(&mut context, returned) {
                return false;
            }
            self.over += 1;
        }
        true
    }

    /// Takes all that is confirmed.
    fn look(&mut self, returned: &mut HashSet<MessageId>) -> bool {
        let mut context = Context::from_waker(&self.waker);
        let open = self.messages.iter_mut().skip(self.over);
        // All of them: what was returned may be with any.
        open.fold(true, |over, (_, stage)| {
            stage.go_on(&mut context, returned) && over
        })
    }
}

impl Stage {
    fn go_on(&mut self, context: &mut Context<'_>, returned: &mut HashSet<MessageId>) -> bool {
        loop {
            *self = match self {
                Self::Over(_) => return true,
                Self::Sending(sending) => match sending.as_mut().poll(context) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(confirm)) => Self::Confirming(confirm),
                    Poll::Ready(Err(error)) => Self::Over(Err(Outcome::Unknown(from_lapin(&error)))),
                },
                Self::Confirming(confirm) => match Pin::new(confirm).poll(context) {
                    Poll::Pending => return false,
                    Poll::Ready(Err(error)) => Self::Over(Err(Outcome::Unknown(from_lapin(&error)))),
                    Poll::Ready(Ok(confirmation)) => {
                        let is_stored = confirmation.is_ack();
                        if let Some(message) = Confirmation::take_message(confirmation) {
                            returned.insert(codec::decode(Vec::new(), &message.delivery.properties).meta.id);
                        }
                        // The queues that did take it may be handed it again: better than a message that one of them
                        // never gets.
                        let refused = || Err(Outcome::NotSent(refused()));
                        Self::Over(if is_stored { Ok(()) } else { refused() })
                    }
                },
            };
        }
    }
}

/// A batch that is waited for; dropped, it goes on by itself.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    number: u64,
}

impl Future for Flight {
    type Output = Vec<Outcome>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<Outcome>> {
        let mut state = lock(&self.flights.0);
        if let Some(batch) = state.under_way.get_mut(&self.number) {
            batch.waker.clone_from(context.waker());
        }
        if !state.go_on(self.number) {
            return Poll::Pending;
        }
        Poll::Ready(state.tell(self.number))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(batch) = lock(&self.flights.0).under_way.get_mut(&self.number) {
            batch.is_awaited = false;
            batch.waker = Waker::noop().clone();
        }
    }
}
