//! Storing messages, with an outcome for each whatever happens.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::{Attempts, Effect};
use super::by_name::PublishByName;
use super::publish_queue::Parcel;
use super::shared::Shared;
use super::spans::Publishing;
use crate::base::{BoxFuture, PublishEndpoint};
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
        let max_payload = self.config.max_payload;
        if message.is_bare() && message.payload().len() <= max_payload {
            return Ok(());
        }
        self.check_special(message, max_payload)
    }

    #[cold]
    fn check_special(&self, message: &Message, max_payload: usize) -> Result<()> {
        let valid = message.validate(max_payload);
        let possible = || {
            if message.is_plain() || message.delivery_delay().is_none() {
                return Ok(());
            }
            self.need(Capabilities::DELAYED_DELIVERY, "publish")
        };
        valid
            .and_then(|()| possible())
            .map_err(|error| error.operation("publish").provider(self.provider))
    }

    /// Publishes one message at once, and takes it, if that needs no waiting.
    #[inline]
    pub(super) fn try_publish_one(
        &self,
        endpoint: &dyn PublishEndpoint,
        message: &mut Option<Message>,
    ) -> Option<Result<MessageId>> {
        let answer = endpoint.try_publish_one(message)?;
        if answer.is_ok() {
            self.counters.published.add(1);
            return Some(answer);
        }
        self.counters.publish_failed.add(1);
        self.observe(&answer);
        Some(answer.map_err(|error| error.operation("publish").provider(self.provider)))
    }

    /// Publishes in order, checking first: those that are refused do not keep the others from being sent.
    pub(super) async fn publish_checked(
        &self,
        endpoint: &dyn PublishEndpoint,
        stream: &StreamName,
        mut messages: Vec<Message>,
    ) -> Result<Published> {
        self.check("publish")?;
        let publishing = Publishing::begin(self, stream, &mut messages);
        if messages.iter().all(|message| self.check_message(message).is_ok()) {
            let published = self.publish_all(endpoint, messages, None).await;
            publishing.end_all(&published);
            return Ok(published);
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
        let sent = self.publish_all(endpoint, good, None).await;
        let mut sent = sent.into_outcomes().into_iter();
        let outcomes = refused
            .into_iter()
            .map(|refused| refused.map_or_else(|| sent.next().unwrap_or_else(unanswered), Outcome::NotSent))
            .collect();
        let published = Published::each(outcomes);
        publishing.end_all(&published);
        Ok(published)
    }

    /// Publishes in order, trying again what certainly was not stored. One of several batches on their way says so
    /// by its `parcel`: it is tried again only when those before it have their answers.
    pub(super) async fn publish_all(
        &self,
        endpoint: &dyn PublishEndpoint,
        mut messages: Vec<Message>,
        parcel: Option<&Parcel>,
    ) -> Published {
        let count = messages.len();
        if count == 0 {
            return Published::each(Vec::new());
        }
        if let Some(parcel) = parcel {
            parcel.may_begin().await;
        }
        let first_try = endpoint.try_publish(&mut messages);
        let published = match first_try {
            Some(Ok(published)) if is_stored(&published, count) => published,
            first_try => {
                self.publish_patiently(endpoint, messages, count, first_try, parcel)
                    .await
            }
        };
        let stored = published.stored();
        self.counters.published.add(stored);
        if stored < count {
            self.counters.publish_failed.add(count - stored);
        }
        tracing::trace!(count, stored, "published");
        published
    }

    /// Boxed: what stores at once would carry it along otherwise.
    fn publish_patiently<'a>(
        &'a self,
        endpoint: &'a dyn PublishEndpoint,
        messages: Vec<Message>,
        count: usize,
        first_try: Option<Result<Published>>,
        parcel: Option<&'a Parcel>,
    ) -> BoxFuture<'a, Published> {
        Box::pin(self.publish_again_and_again(endpoint, messages, count, first_try, parcel))
    }

    async fn publish_again_and_again(
        &self,
        endpoint: &dyn PublishEndpoint,
        mut messages: Vec<Message>,
        count: usize,
        mut answer: Option<Result<Published>>,
        parcel: Option<&Parcel>,
    ) -> Published {
        let mut attempts = Attempts::new(self, "publish", Effect::Publish, Duration::ZERO);
        if answer.is_none() {
            answer = match attempts.run(endpoint.publish(&mut messages)).await {
                // Most batches end here: stored at the first try, in one piece.
                Ok(published) if is_stored(&published, count) => return published,
                tried => Some(tried),
            };
        }
        let mut done: Vec<Option<Outcome>> = vec![None; count];
        // The places in `done` that `messages` stand for.
        let mut open: Vec<usize> = (0..count).collect();
        // The places that may be stored by an attempt before the last.
        let mut doubtful: Vec<usize> = Vec::new();
        loop {
            let tried = match answer.take() {
                Some(answer) => answer,
                None => attempts.run(endpoint.publish(&mut messages)).await,
            };
            let outcomes = match tried {
                Ok(published) => published.into_outcomes(),
                Err(error) => vec![failed(error); open.len()],
            };
            for (place, outcome) in open.iter().zip(outcomes) {
                if let Some(slot) = done.get_mut(*place) {
                    *slot = Some(outcome);
                }
            }
            // Messages that the adapter took can't be sent again; it took them because they were as good as stored.
            let kept = messages.len() == open.len();
            let retried: Vec<(usize, usize)> = open
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, place)| kept && self.may_retry(done.get(*place)))
                .collect();
            let Some(error) = retried.first().and_then(|(_, place)| error_of(done.get(*place)?)) else {
                break;
            };
            let unknown = |place: &usize| matches!(done.get(*place), Some(Some(Outcome::Unknown(_))));
            doubtful.extend(retried.iter().map(|(_, place)| *place).filter(unknown));
            if let Some(parcel) = parcel {
                parcel.hold();
            }
            if let Err(error) = attempts.again(error).await {
                for (_, place) in &retried {
                    give_up(&mut done, *place, &error);
                }
                break;
            }
            if let Some(parcel) = parcel {
                parcel.turn().await;
            }
            messages = retried
                .iter()
                .filter_map(|(index, _)| messages.get(*index).cloned())
                .collect();
            open = retried.into_iter().map(|(_, place)| place).collect();
        }
        for place in doubtful {
            // That the last attempt certainly did not store it is no comfort.
            if let Some(slot @ Some(Outcome::NotSent(_))) = done.get_mut(place)
                && let Some(error) = error_of(slot)
            {
                *slot = Some(Outcome::Unknown(error.retry(Retry::Unknown)));
            }
        }
        Published::each(
            done.into_iter()
                .map(|outcome| outcome.unwrap_or_else(unanswered))
                .collect(),
        )
    }

    fn may_retry(&self, outcome: Option<&Option<Outcome>>) -> bool {
        match outcome.and_then(Option::as_ref) {
            Some(Outcome::NotSent(error)) => error.is_retryable(),
            Some(Outcome::Unknown(_)) => self.config.retry_unknown,
            Some(Outcome::Stored(_)) | None => false,
        }
    }
}

/// The outcome of a message that the adapter's answer leaves out.
pub(super) fn unanswered() -> Outcome {
    Outcome::Unknown(
        Error::new(ErrorKind::Unexpected, "the adapter answered for too few messages").retry(Retry::Unknown),
    )
}

fn is_stored(published: &Published, count: usize) -> bool {
    published.len() == count && published.all_stored()
}

fn failed(error: Error) -> Outcome {
    if error.retry_class() == Retry::Unknown {
        Outcome::Unknown(error)
    } else {
        Outcome::NotSent(error)
    }
}

/// Ends the attempts at one message with `error`: its own failure stays, unless the broker was closed meanwhile.
fn give_up(done: &mut [Option<Outcome>], place: usize, error: &Error) {
    match done.get_mut(place) {
        Some(slot) if error.kind() == ErrorKind::Closed => *slot = Some(failed(error.clone())),
        Some(Some(Outcome::NotSent(own))) => *own = own.clone().retry(Retry::Exhausted),
        Some(_) | None => {}
    }
}

fn error_of(outcome: &Option<Outcome>) -> Option<Error> {
    match outcome {
        None | Some(Outcome::Stored(_)) => None,
        Some(Outcome::NotSent(error) | Outcome::Unknown(error)) => Some(error.clone()),
    }
}
