//! Publishing: several batches under way, one confirmation a message.

use std::sync::Arc;

use broker_core::{Error, ErrorKind, Message, Outcome, Published, Result, StreamName};
use lapin::types::ShortString;

use crate::client::Client;
use crate::codec;
use crate::meta::Meta;
use crate::names;
use crate::sender::Outgoing;

/// A stream to publish to.
pub(crate) struct Publisher {
    client: Arc<Client>,
    stream: StreamName,
    /// What all messages are routed by, unless it is by their keys.
    routing_key: Option<ShortString>,
    no_exchange: ShortString,
}

impl Publisher {
    pub(crate) async fn new(client: &Arc<Client>, stream: &StreamName) -> Result<Self> {
        client.stream(stream).await?;
        Ok(Self {
            routing_key: names::routing(&client.config, stream)?,
            no_exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
            client: Arc::clone(client),
            stream: stream.clone(),
        })
    }

    /// Stores messages in order.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<Published> {
        self.client.check_open()?;
        // Made anew where the connection is another than the last time.
        let exchange = self.client.stream(&self.stream).await?;
        let (mut outgoing, mut refused) = (Vec::with_capacity(messages.len()), Vec::new());
        for (place, message) in messages.iter().enumerate() {
            match self.outgoing(&exchange, message).await {
                Ok(message) => outgoing.push(message),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => refused.push((place, Outcome::NotSent(error))),
            }
        }
        let sent = self
            .client
            .send(self.stream.as_str(), outgoing, self.client.config.mandatory)
            .await?;
        let gone = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(error) if error.kind() == ErrorKind::NotFound);
        if sent.iter().any(gone) {
            self.client.known.forget_stream(&self.stream);
        }
        let mut sent = sent.into_iter();
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut refused = refused.into_iter().peekable();
        for place in 0..messages.len() {
            let outcome = match refused.next_if(|(refused, _)| *refused == place) {
                Some((_, outcome)) => Some(outcome),
                None => sent.next(),
            };
            outcomes.push(outcome.unwrap_or_else(|| Outcome::Unknown(odd())));
        }
        Ok(Published::each(outcomes))
    }

    async fn outgoing(&self, exchange: &ShortString, message: &Message) -> Result<Outgoing> {
        let (client, id) = (&self.client, self.client.id());
        let (properties, table) = codec::encode(message, &Meta::new(id.clone()), client.config.persistent)?;
        let (exchange, routing_key) = match message.delivery_delay().filter(|delay| !delay.is_zero()) {
            Some(delay) => (
                self.no_exchange.clone(),
                client.delaying(&self.stream, exchange.as_str(), delay).await?,
            ),
            None => {
                let routing_key = match &self.routing_key {
                    Some(routing_key) => routing_key.clone(),
                    None => names::routing_by_key(&client.config, &self.stream, message)?,
                };
                (exchange.clone(), routing_key)
            }
        };
        Ok(Outgoing {
            id,
            exchange,
            routing_key,
            payload: message.payload().clone(),
            properties: codec::finish(properties, table),
        })
    }
}

fn odd() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the client library answered for fewer messages than it was handed",
    )
}
