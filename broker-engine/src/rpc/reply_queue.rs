//! Several requests whose answers are gathered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use broker_core::{Error, Message, Result, Retry, StreamName};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::client::{RequestClient, no_answer};
use super::waiting::{Answer, Waiter};
use super::{RequestId, Response};

/// Several requests whose answers are gathered: to different streams, or one to an event's stream that several groups
/// answer. Made by [`RequestClient::reply_queue`]; how many there are at once is bounded.
///
/// Dropping it gives its place back and forgets its requests: answers that come later are late.
#[derive(Debug)]
pub struct ReplyQueue {
    client: RequestClient,
    /// Requests, and the place that each takes until its first answer.
    asked: HashMap<RequestId, Option<OwnedSemaphorePermit>>,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    /// What came while a call waited for more that was then dropped.
    gathered: VecDeque<(RequestId, Result<Response>)>,
    _place: OwnedSemaphorePermit,
}

impl ReplyQueue {
    pub(super) fn new(client: RequestClient, place: OwnedSemaphorePermit, most: usize) -> Self {
        let (sender, answers) = mpsc::channel(most);
        Self {
            client,
            asked: HashMap::new(),
            sender,
            answers,
            gathered: VecDeque::new(),
            _place: place,
        }
    }

    /// Asks, and leaves the answer for [`receive`](Self::receive). Where as many requests as the client allows are under
    /// way it waits for one to be answered.
    ///
    /// # Errors
    ///
    /// What publishing answers; [`ErrorKind::Closed`](broker_core::ErrorKind::Closed) after the client was closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the request under way; its answer may then come from [`receive`](Self::receive).
    pub async fn send<S>(&mut self, stream: S, message: Message) -> Result<RequestId>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = stream
            .try_into()
            .map_err(|error| Error::from(error).operation("send"))?;
        let place = self.client.place("send").await?;
        let id = self.client.next_id();
        self.asked.insert(id, Some(place));
        let waiter = Waiter::All(id.0, self.sender.clone());
        match self.client.publish(&stream, message, id, waiter).await {
            // It may be under way all the same, and is answered then.
            Err(error) if error.retry_class() == Retry::Unknown => Err(error.with("request", id)),
            Err(error) => {
                self.forget(id);
                Err(error)
            }
            Ok(()) => Ok(id),
        }
    }

    /// The next answer to any of the requests, and which one it belongs to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`](broker_core::ErrorKind::Timeout) where none comes in time,
    /// [`ErrorKind::InvalidMessage`](broker_core::ErrorKind::InvalidMessage) where the answer can't be read, and
    /// [`ErrorKind::Closed`](broker_core::ErrorKind::Closed) once, for each request, when the client is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no answer.
    pub async fn receive(&mut self, timeout: Duration) -> Result<(RequestId, Response)> {
        let answer = match self.gathered.pop_front() {
            Some(answer) => Some(answer),
            None => self.next(Instant::now() + timeout).await,
        };
        let (id, response) = answer.ok_or_else(|| no_answer(timeout).operation("receive"))?;
        response.map(|response| (id, response))
    }

    /// The next `count` answers, or as many as come within `timeout`; an answer that can't be read is told as an error in
    /// its place.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no answer: the next call gives those that had come.
    pub async fn receive_many(
        &mut self,
        count: usize,
        timeout: Duration,
    ) -> Vec<(RequestId, Result<Response>)> {
        let ends = Instant::now() + timeout;
        while self.gathered.len() < count {
            let Some(answer) = self.next(ends).await else {
                break;
            };
            self.gathered.push_back(answer);
        }
        let there = self.gathered.len().min(count);
        self.gathered.drain(..there).collect()
    }

    /// The next answer that comes before `ends`.
    async fn next(&mut self, ends: Instant) -> Option<(RequestId, Result<Response>)> {
        let (number, response) = tokio::time::timeout_at(ends, self.answers.recv()).await.ok()??;
        let id = RequestId(number);
        // It has an answer: another request may take its place.
        if let Some(place) = self.asked.get_mut(&id) {
            *place = None;
        }
        Some((id, response))
    }

    /// Stops waiting for the answers to a request: those that come later are late.
    pub fn forget(&mut self, id: RequestId) {
        self.asked.remove(&id);
        self.client.forget(id);
    }

    /// How many requests have no answer yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.asked.values().flatten().count()
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        for id in self.asked.keys() {
            self.client.forget(*id);
        }
    }
}
