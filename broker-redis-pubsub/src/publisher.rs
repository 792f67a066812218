//! Publishing to one stream.

use std::sync::Arc;

use broker_core::base::{BoxFuture, PublishEndpoint};
use broker_core::{Error, Message, MessageId, Outcome, Published, Result, Retry};

use crate::client::SharedClient;
use crate::codec::Codec;
use crate::config::Mode;
use crate::keys::Keys;

/// Publishes to one stream.
pub(crate) struct Publisher {
    pub(crate) client: SharedClient,
    pub(crate) codec: Arc<Codec>,
    pub(crate) mode: Mode,
    pub(crate) keys: Keys,
}

impl Publisher {
    /// Stores the messages in order, all or none of those that can be written at all.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<Published> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut bodies = Vec::with_capacity(messages.len());
        for message in messages {
            match self.codec.encode(message) {
                Ok((id, body)) => {
                    bodies.push(body);
                    outcomes.push(Ok(id));
                }
                Err(refused) => outcomes.push(Err(refused)),
            }
        }
        if bodies.is_empty() {
            return Ok(Published::each(
                outcomes
                    .into_iter()
                    .map(|outcome| settle(outcome, None))
                    .collect(),
            ));
        }
        let failure = match self.mode {
            Mode::Channel => self.send(&bodies).await.err(),
            Mode::List | Mode::Queue => self.push(&bodies).await.err(),
        };
        Ok(Published::each(
            outcomes
                .into_iter()
                .map(|outcome| settle(outcome, failure.as_ref()))
                .collect(),
        ))
    }

    async fn push(&self, bodies: &[Vec<u8>]) -> Result<()> {
        let mut pipe = redis::Pipeline::with_capacity(2);
        let push = pipe.cmd("RPUSH").arg(&self.keys.list);
        for body in bodies {
            push.arg(body.as_slice());
        }
        pipe.cmd("PUBLISH").arg(&self.keys.wake).arg("");
        let answers = self.client.try_all(&pipe).await?;
        let mut answers = answers.into_iter();
        if let Some(redis::Value::ServerError(refused)) = answers.next() {
            return Err(crate::error::from_server(&refused));
        }
        // The messages are stored; a reader that was not woken looks by itself.
        if let Some(redis::Value::ServerError(refused)) = answers.next() {
            tracing::warn!(stream = self.keys.list, error = %crate::error::from_server(&refused), "readers were not woken");
        }
        Ok(())
    }

    async fn send(&self, bodies: &[Vec<u8>]) -> Result<()> {
        let mut pipe = redis::Pipeline::with_capacity(bodies.len());
        for body in bodies {
            pipe.cmd("PUBLISH").arg(&self.keys.list).arg(body.as_slice());
        }
        self.client.ask_all::<redis::Value>(&pipe).await.map(drop)
    }
}

impl PublishEndpoint for Publisher {
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(async move { Self::publish(self, messages).await })
    }

    fn batches_in_flight(&self) -> usize {
        match self.mode {
            // A batch that has to be tried again would come after its successor.
            Mode::List => 1,
            Mode::Channel | Mode::Queue => 4,
        }
    }
}

fn settle(outcome: Result<MessageId>, failure: Option<&Error>) -> Outcome {
    match (outcome, failure) {
        (Err(refused), _) => Outcome::NotSent(refused),
        (Ok(id), None) => Outcome::Stored(id),
        (Ok(_), Some(failure)) if failure.retry_class() == Retry::Unknown => {
            Outcome::Unknown(failure.clone())
        }
        (Ok(_), Some(failure)) => Outcome::NotSent(failure.clone()),
    }
}
