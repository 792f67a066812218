//! Several requests whose answers are gathered.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Message, Result, Retry, StreamName};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::client::{Forget, RequestClient, no_answer};
use super::waiting::{Answer, Waiter};
use super::{RequestId, Response};

/// Several requests whose answers are gathered: to different streams, or one to an event's stream that several groups
/// answer. Made by [`RequestClient::reply_queue`]; how many there are at once is bounded.
///
/// A request is remembered until it is [forgotten](Self::forget), as more answers may come. As many answers wait here as the
/// client allows requests; what comes beyond is late. Dropping the queue gives its place back and forgets its requests.
#[derive(Debug)]
pub struct ReplyQueue {
    client: RequestClient,
    /// Requests, and the place that each takes until its first answer.
    asked: HashMap<RequestId, Option<OwnedSemaphorePermit>>,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    /// What came while a call waited for something else.
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
    /// What publishing answers; [`ErrorKind::Throttled`] where as many answers as that have come and nobody received them;
    /// [`ErrorKind::Closed`] after the client was closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the request under way; its answer is then late.
    pub async fn send<S>(&mut self, stream: S, message: Message) -> Result<RequestId>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = stream
            .try_into()
            .map_err(|error| Error::from(error).operation("send"))?;
        let place = self.place().await?;
        let id = self.client.next_id();
        let forget = Forget::new(&self.client, id);
        let waiter = Waiter::All(id.0, self.sender.clone());
        match self.client.publish(&stream, message, id, waiter).await {
            Ok(()) => {}
            // It may be under way all the same, and is answered then.
            Err(error) if error.retry_class() == Retry::Unknown => {
                self.asked.insert(id, Some(place));
                forget.keep();
                return Err(error.with("request", id));
            }
            Err(error) => return Err(error),
        }
        self.asked.insert(id, Some(place));
        forget.keep();
        Ok(id)
    }

    /// A place for one more request. The answers that would make room may lie here, so they are taken in meanwhile.
    async fn place(&mut self) -> Result<OwnedSemaphorePermit> {
        let client = self.client.clone();
        let mut place = pin!(client.place("send"));
        loop {
            if self.gathered.len() >= self.answers.max_capacity() {
                let line = "too many answers wait; receive them before sending more";
                return Err(Error::new(ErrorKind::Throttled, line).operation("send"));
            }
            tokio::select! {
                biased;
                place = &mut place => return place,
                Some(answer) = self.answers.recv() => {
                    let answer = self.answered(answer);
                    self.gathered.push_back(answer);
                }
            }
        }
    }

    /// The next answer to any of the requests, and which one it belongs to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] where none comes in time,
    /// [`ErrorKind::InvalidMessage`] where the answer can't be read, and
    /// [`ErrorKind::Closed`] once, for each request, when the client is closed.
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
        let answer = tokio::time::timeout_at(ends, self.answers.recv()).await.ok()??;
        Some(self.answered(answer))
    }

    /// A request has an answer: another one may take its place.
    fn answered(&mut self, (number, response): Answer) -> (RequestId, Result<Response>) {
        let id = RequestId(number);
        if let Some(place) = self.asked.get_mut(&id) {
            *place = None;
        }
        (id, response)
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
