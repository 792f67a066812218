//! What goes wrong on the way in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_core::base::PublishBatch;
use broker_core::{Headers, Message, MessageId, Outcome, Published, Result};

use super::broker::FaultyBroker;
use super::fault::Fault;

/// Every so many messages one is dropped or doubled.
const ONE_IN: usize = 100;

impl FaultyBroker {
    pub async fn publish_wrongly(&self, batch: PublishBatch<'_>) -> Result<Published> {
        let Some(fault) = self.fault else {
            return self.inner.publish(batch).await;
        };
        let stream = batch.stream();
        let mut messages = batch.messages().to_vec();
        let count = messages.len();
        let before = self.published.fetch_add(count, Ordering::Relaxed);
        let is_chosen = |index: usize| (before + index) % ONE_IN == ONE_IN / 2;
        match fault {
            Fault::DropsSome => {
                let mut index = 0;
                messages.retain(|_| {
                    index += 1;
                    !is_chosen(index - 1)
                });
                let stored = self.store(stream, messages).await?;
                let mut stored = stored.into_iter();
                let lost = || Outcome::Stored(MessageId::Text(format!("lost-{before}").into()));
                let outcomes = (0..count).map(|index| match is_chosen(index) {
                    true => lost(),
                    false => stored.next().unwrap(),
                });
                Ok(Published::each(outcomes.collect()))
            }
            Fault::DuplicatesSome => {
                let twice = messages.iter().cloned().enumerate();
                let twice =
                    twice.flat_map(|(index, message)| vec![message; 1 + usize::from(is_chosen(index))]);
                let mut stored = self.store(stream, twice.collect()).await?.into_iter();
                let outcomes = (0..count).map(|index| {
                    let outcome = stored.next().unwrap();
                    if is_chosen(index) {
                        stored.next();
                    }
                    outcome
                });
                Ok(Published::each(outcomes.collect()))
            }
            Fault::SwapsOrder => {
                messages.chunks_mut(2).for_each(<[Message]>::reverse);
                let mut stored = self.store(stream, messages).await?;
                stored.chunks_mut(2).for_each(<[Outcome]>::reverse);
                Ok(Published::each(stored))
            }
            Fault::TruncatesPayload => {
                for message in &mut messages {
                    const LIMIT: usize = 64 * 1024;
                    if message.payload().len() > LIMIT {
                        *message = Message::new(message.payload().slice(..LIMIT));
                    }
                }
                Ok(Published::each(self.store(stream, messages).await?))
            }
            Fault::DropsHeaders => {
                for message in messages
                    .iter_mut()
                    .filter(|message| !message.headers().is_empty())
                {
                    *message.headers_mut() = Headers::new();
                }
                Ok(Published::each(self.store(stream, messages).await?))
            }
            Fault::ForgetsIds => {
                for (index, message) in messages.iter_mut().enumerate() {
                    if message.message_id().is_some() {
                        *message = message.clone().id(format!("{}", before + index));
                    }
                }
                Ok(Published::each(self.store(stream, messages).await?))
            }
            Fault::OneIdForAll => {
                self.store(stream, messages).await?;
                let id = || Outcome::Stored(MessageId::Text("1".into()));
                Ok(Published::each((0..count).map(|_| id()).collect()))
            }
            Fault::StoresLater => {
                let (inner, closed, stream) =
                    (Arc::clone(&self.inner), Arc::clone(&self.closed), stream.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if !closed.load(Ordering::Acquire) {
                        let _ = inner.publish(PublishBatch::new(&stream, &mut messages)).await;
                    }
                });
                let id = |index| Outcome::Stored(MessageId::Text(format!("later-{}", before + index).into()));
                Ok(Published::each((0..count).map(id).collect()))
            }
            Fault::MixesUpAnswers => {
                let answer = self.store(stream, messages).await.map(Published::each);
                self.answers.lock().unwrap().push_back(answer);
                tokio::task::yield_now().await;
                let next = self.answers.lock().unwrap().pop_front();
                next.unwrap()
            }
            _ => Ok(Published::each(self.store(stream, messages).await?)),
        }
    }

    async fn store(
        &self,
        stream: &broker_core::StreamName,
        mut messages: Vec<Message>,
    ) -> Result<Vec<Outcome>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let published = self
            .inner
            .publish(PublishBatch::new(stream, &mut messages))
            .await?;
        Ok(published.into_outcomes())
    }
}
