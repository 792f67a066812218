//! Storing messages, with an outcome for each whatever happens.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::{Attempts, Effect};
use super::by_name::PublishByName;
use super::shared::Shared;
use crate::base::PublishEndpoint;
use crate::values::{
    Capabilities, Error, ErrorKind, Message, MessageId, Outcome, Published, Result, Retry, StreamName,
};

impl Shared {
    /// What publishing to `stream` goes through, resolved once.
    pub(super) async fn publish_endpoint(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        self.need(Capabilities::PUBLISH, "publish")?;
        if let Some(endpoint) = Self::resolved(&self.publishers, stream) {
            return Ok(endpoint);
        }
        let endpoint: Arc<dyn PublishEndpoint> = match self.base.families().endpoints {
            Some(endpoints) => self.call("publish", || endpoints.publisher(stream)).await?,
            None => Arc::new(PublishByName {
                base: Arc::clone(&self.base),
                stream: stream.clone(),
            }),
        };
        Ok(Self::keep(&self.publishers, stream.clone(), endpoint))
    }

    /// Refuses what could not be published, before anything is sent.
    #[inline]
    pub(super) fn check_message(&self, message: &Message) -> Result<()> {
        message
            .validate(self.config.max_payload)
            .map_err(|error| error.operation("publish").provider(self.provider))?;
        if !message.is_plain() && message.delivery_delay().is_some() {
            self.need(Capabilities::DELAYED_DELIVERY, "publish")?;
        }
        Ok(())
    }

    /// Publishes one message at once if that needs no waiting; else hands it back.
    #[inline]
    pub(super) fn try_publish_one(
        &self,
        endpoint: &dyn PublishEndpoint,
        message: Message,
    ) -> std::result::Result<Result<MessageId>, Message> {
        let answer = endpoint.try_publish_one(message)?;
        match &answer {
            Ok(_) => self.counters.published.add(1),
            Err(_) => self.counters.publish_failed.add(1),
        }
        Ok(answer.map_err(|error| error.operation("publish").provider(self.provider)))
    }

    /// Publishes in order, checking first: those that are refused do not keep the others from being sent.
    pub(super) async fn publish_checked(
        &self,
        endpoint: &dyn PublishEndpoint,
        messages: Vec<Message>,
    ) -> Result<Published> {
        self.admit("publish")?;
        if messages.iter().all(|message| self.check_message(message).is_ok()) {
            return Ok(self.publish_all(endpoint, messages).await);
        }
        let mut good = Vec::with_capacity(messages.len());
        let refused: Vec<Option<Error>> = messages
            .into_iter()
            .map(|message| match self.check_message(&message) {
                Ok(()) => {
                    good.push(message);
                    None
                }
                Err(error) => Some(error),
            })
            .collect();
        self.counters.publish_failed.add(refused.iter().flatten().count());
        let mut sent = self.publish_all(endpoint, good).await.into_outcomes().into_iter();
        let lost = || {
            Outcome::Unknown(Error::new(
                ErrorKind::Unexpected,
                "the adapter answered for too few messages",
            ))
        };
        let outcomes = refused
            .into_iter()
            .map(|refused| refused.map_or_else(|| sent.next().unwrap_or_else(lost), Outcome::NotSent))
            .collect();
        Ok(Published::each(outcomes))
    }

    /// Publishes in order, trying again what certainly was not stored.
    pub(super) async fn publish_all(
        &self,
        endpoint: &dyn PublishEndpoint,
        mut messages: Vec<Message>,
    ) -> Published {
        let count = messages.len();
        if count == 0 {
            return Published::each(Vec::new());
        }
        let first_try = endpoint.try_publish(&mut messages);
        let published = match first_try {
            Some(Ok(published)) if published.all_stored() => published,
            first_try => self.publish_patiently(endpoint, messages, first_try).await,
        };
        let stored = published.stored();
        self.counters.published.add(stored);
        if stored < count {
            self.counters.publish_failed.add(count - stored);
        }
        tracing::trace!(count, stored, "published");
        published
    }

    async fn publish_patiently(
        &self,
        endpoint: &dyn PublishEndpoint,
        mut messages: Vec<Message>,
        mut answer: Option<Result<Published>>,
    ) -> Published {
        let mut attempts = Attempts::new(self, "publish", Effect::Publish, Duration::ZERO);
        let mut done: Vec<Option<Outcome>> = vec![None; messages.len()];
        // The places in `done` that `messages` stand for.
        let mut open: Vec<usize> = (0..messages.len()).collect();
        loop {
            let count = open.len();
            let tried = match answer.take() {
                Some(answer) => answer,
                None => attempts.run(endpoint.publish(&mut messages)).await,
            };
            let outcomes = match tried {
                // Most batches end here: stored at the first try, in one piece.
                Ok(published) if count == done.len() && published.all_stored() => return published,
                Ok(published) => published.into_outcomes(),
                Err(error) => vec![failed(error); count],
            };
            for (place, outcome) in open.iter().zip(outcomes) {
                if let Some(slot) = done.get_mut(*place) {
                    *slot = Some(outcome);
                }
            }
            // Messages that the adapter took can't be sent again; it took them because they were as good as stored.
            let kept = messages.len() == count;
            let again = |place: &usize| {
                kept && done
                    .get(*place)
                    .is_some_and(|outcome| self.may_retry(outcome.as_ref()))
            };
            let retried: Vec<(usize, usize)> = open
                .iter()
                .enumerate()
                .filter(|(_, place)| again(place))
                .map(|(index, place)| (index, *place))
                .collect();
            let Some(error) = retried
                .first()
                .and_then(|(_, place)| error_of(done.get(*place)?.as_ref()?))
            else {
                break;
            };
            if let Err(error) = attempts.again(error).await {
                for (_, place) in &retried {
                    if let Some(slot @ Some(_)) = done.get_mut(*place)
                        && error.kind() == ErrorKind::Closed
                    {
                        *slot = Some(Outcome::NotSent(error.clone()));
                    }
                }
                break;
            }
            messages = retried
                .iter()
                .filter_map(|(index, _)| messages.get(*index).cloned())
                .collect();
            open = retried.into_iter().map(|(_, place)| place).collect();
        }
        let unanswered = || {
            Outcome::Unknown(Error::new(
                ErrorKind::Unexpected,
                "the adapter answered for too few messages",
            ))
        };
        Published::each(
            done.into_iter()
                .map(|outcome| outcome.unwrap_or_else(unanswered))
                .collect(),
        )
    }

    fn may_retry(&self, outcome: Option<&Outcome>) -> bool {
        match outcome {
            Some(Outcome::NotSent(error)) => error.is_retryable(),
            Some(Outcome::Unknown(_)) => self.config.retry_unknown,
            Some(Outcome::Stored(_)) | None => false,
        }
    }
}

fn failed(error: Error) -> Outcome {
    if error.retry_class() == Retry::Unknown {
        Outcome::Unknown(error)
    } else {
        Outcome::NotSent(error)
    }
}

fn error_of(outcome: &Outcome) -> Option<Error> {
    match outcome {
        Outcome::Stored(_) => None,
        Outcome::NotSent(error) | Outcome::Unknown(error) => Some(error.clone()),
    }
}
