//! Storing messages, at once or when there is room.

use broker_core::{Capabilities, Error, ErrorKind, Message, Outcome, Published, Result};

use super::session::Session;
use crate::config::WhenFull;
use crate::stream::{Rules, Stream};

impl Session {
    /// Stores messages if there is room now, and nobody is to be waited for.
    #[inline]
    pub(crate) fn try_publish(
        &self,
        stream: &Stream,
        messages: &mut Vec<Message>,
    ) -> Option<Result<Published>> {
        if let Err(error) = self.check(Capabilities::PUBLISH) {
            return Some(Err(error));
        }
        if self.waits.is_some() {
            return None;
        }
        self.try_store(stream, messages)
    }

    #[inline]
    fn try_store(&self, stream: &Stream, messages: &mut Vec<Message>) -> Option<Result<Published>> {
        if messages.is_empty() {
            return Some(Ok(Published::run(0, 0, 0)));
        }
        match stream.try_publish(messages, self.rules, None) {
            Ok(Some(published)) => Some(Ok(published)),
            Err(error) => Some(Err(error)),
            Ok(None) if self.refuses() && stream.piece(messages) == messages.len() => {
                Some(Err(stream.full()))
            }
            Ok(None) => None,
        }
    }

    /// Stores messages, and waits for room; and where publishing waits for handlers, for those too.
    pub(crate) async fn publish(&self, stream: &Stream, messages: &mut Vec<Message>) -> Result<Published> {
        self.check(Capabilities::PUBLISH)?;
        let published = self.store(stream, messages).await;
        match (self.waits, published) {
            (Some(within), Ok(published)) => Ok(self.handled(stream, published, within).await),
            (_, published) => published,
        }
    }

    async fn store(&self, stream: &Stream, messages: &mut Vec<Message>) -> Result<Published> {
        if let Some(published) = self.try_store(stream, messages) {
            return published;
        }
        let place = stream.queue();
        let mut outcomes: Vec<Outcome> = Vec::new();
        loop {
            let piece = stream.piece(messages);
            let mut rest = messages.split_off(piece.min(messages.len()));
            let tried = self
                .check(Capabilities::PUBLISH)
                .and_then(|()| stream.try_publish(messages, self.rules, Some(&place)));
            let stored = matches!(tried, Ok(Some(_)));
            messages.append(&mut rest);
            match tried {
                Ok(Some(published)) if messages.is_empty() && outcomes.is_empty() => return Ok(published),
                Ok(Some(published)) => outcomes.extend(published.into_outcomes()),
                Ok(None) if self.refuses() => return not_sent(outcomes, messages, stream.full()),
                Ok(None) => place.wait().await,
                Err(error) => return not_sent(outcomes, messages, error),
            }
            if stored && messages.is_empty() {
                return Ok(Published::each(outcomes));
            }
        }
    }

    /// Whether publishing waits for handlers.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waits.is_some()
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// Whether publishing to a full stream is refused.
    pub(crate) fn refuses(&self) -> bool {
        self.hub.limits.when_full == WhenFull::Refuse
    }
}

/// What became of a batch of which only the first pieces were stored.
fn not_sent(mut outcomes: Vec<Outcome>, messages: &mut Vec<Message>, error: Error) -> Result<Published> {
    if outcomes.is_empty() {
        return Err(error);
    }
    let again =
        |error: &Error| Error::new(error.kind(), error.message().to_owned()).retry(error.retry_class());
    outcomes.extend(messages.drain(..).map(|_| Outcome::NotSent(again(&error))));
    Ok(Published::each(outcomes))
}

impl Stream {
    /// The answer to who is not to wait for room.
    pub(crate) fn full(&self) -> Error {
        Error::new(
            ErrorKind::Throttled,
            format!(
                "stream `{}` is full of messages that some group has not settled (capacity, capacity_bytes)",
                self.name
            ),
        )
    }
}
