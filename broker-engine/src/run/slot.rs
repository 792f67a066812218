//! Room for one call of a service, used again and again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_service::Service;

use super::feed::Feed;
use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes};
use crate::incoming::Incoming;

/// What a service says about a message so far.
pub(crate) type Answer = Poll<Result<Outcome, BoxError>>;

/// What a lane calls: a service behind a pointer, with room for one call in flight.
pub(crate) trait Call: Send {
    /// Takes a message, and goes as far with it as that needs no waiting; the call before has ended or was dropped.
    fn start(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Answer;
    /// Takes messages for as long as they are done at once; answers what it says to the first that is not.
    fn feed(&mut self, feed: &mut Feed<'_>, context: &mut Context<'_>) -> Option<Answer> {
        while let Some(incoming) = feed.next() {
            let answer = self.start(incoming, context);
            if !matches!(answer, Poll::Ready(Ok(Outcome::Ack))) || !feed.done() {
                return Some(answer);
            }
        }
        None
    }
    /// Goes on with it.
    fn poll(&mut self, context: &mut Context<'_>) -> Answer;
    /// Drops what is in flight.
    fn abandon(&mut self);
}

/// As [`Call`], for a service of batches.
pub(crate) trait BatchCall: Send {
    /// Takes a batch, and goes as far with it as that needs no waiting; the call before has ended or was dropped.
    fn start(&mut self, batch: IncomingBatch, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>>;
    /// Goes on with it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>>;
    /// Drops what is in flight.
    fn abandon(&mut self);
}

/// How messages are gathered for a handler of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batching {
    /// The most messages of a batch.
    pub(crate) size: usize,
    /// How long its first message may wait for company.
    pub(crate) linger: Duration,
}

/// A service with room for one call in flight: the future of each message is put where that of the last one was, so
/// that handling allocates nothing.
pub(crate) struct Slot<S: Service<R>, R> {
    service: S,
    /// A request whose service is not ready for it yet.
    waiting: Option<R>,
    room: Pin<Box<Room<S::Future>>>,
}

pin_project! {
    /// Room for a future. An `Option` would do; but what is put into an empty one would first look for something to drop.
    #[project = InRoom]
    #[project_replace = Left]
    enum Room<F> {
        Empty,
        Full { #[pin] future: F },
    }
}

impl<S: Service<R>, R> Slot<S, R>
where
    S::Error: Into<BoxError>,
{
    pub(crate) fn new(service: S) -> Self {
        Self {
            service,
            waiting: None,
            room: Box::pin(Room::Empty),
        }
    }

    /// Calls the service; an answer is there only where it refuses to be called, or has to be waited for.
    #[inline(always)]
    fn begin(
        &mut self,
        request: R,
        context: &mut Context<'_>,
    ) -> Option<Poll<Result<S::Response, BoxError>>> {
        match self.service.poll_ready(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error.into()))),
            Poll::Pending => {
                self.waiting = Some(request);
                return Some(Poll::Pending);
            }
        }
        let future = self.service.call(request);
        self.room.as_mut().project_replace(Room::Full { future });
        None
    }

    /// Goes on with what was called; `None` where nothing was.
    #[inline(always)]
    fn go_on(&mut self, context: &mut Context<'_>) -> Option<Poll<Result<S::Response, S::Error>>> {
        match self.room.as_mut().project() {
            InRoom::Full { future } => Some(future.poll(context)),
            InRoom::Empty => None,
        }
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.room.as_mut().project_replace(Room::Empty);
    }

    /// Makes what the service said an answer.
    fn answer(
        &mut self,
        said: Option<Poll<Result<S::Response, S::Error>>>,
    ) -> Poll<Result<S::Response, BoxError>> {
        match said {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(answer)) => {
                self.clear();
                Poll::Ready(answer.map_err(Into::into))
            }
            None => Poll::Ready(Err("the handler's call was dropped".into())),
        }
    }

    fn enter(&mut self, request: R, context: &mut Context<'_>) -> Poll<Result<S::Response, BoxError>> {
        if let Some(refused) = self.begin(request, context) {
            return refused;
        }
        let said = self.go_on(context);
        self.answer(said)
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Result<S::Response, BoxError>> {
        if let Some(request) = self.waiting.take()
            && let Some(refused) = self.begin(request, context)
        {
            return refused;
        }
        let said = self.go_on(context);
        self.answer(said)
    }

    fn drop_call(&mut self) {
        self.waiting = None;
        self.clear();
    }
}

impl<S> Call for Slot<S, Incoming>
where
    S: Service<Incoming, Response = Outcome> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn start(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Answer {
        self.enter(incoming, context)
    }

    fn feed(&mut self, feed: &mut Feed<'_>, context: &mut Context<'_>) -> Option<Answer> {
        while let Some(incoming) = feed.next() {
            if let Some(refused) = self.begin(incoming, context) {
                return Some(refused);
            }
            let said = self.go_on(context);
            if !matches!(said, Some(Poll::Ready(Ok(Outcome::Ack)))) {
                return Some(self.answer(said));
            }
            // There is nothing in it to drop, which the compiler would look for.
            std::mem::forget(said);
            self.clear();
            if !feed.done() {
                return Some(Poll::Ready(Ok(Outcome::Ack)));
            }
        }
        None
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Answer {
        self.resume(context)
    }

    fn abandon(&mut self) {
        self.drop_call();
    }
}

impl<S> BatchCall for Slot<S, IncomingBatch>
where
    S: Service<IncomingBatch, Response = Outcomes> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn start(&mut self, batch: IncomingBatch, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>> {
        self.enter(batch, context)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>> {
        self.resume(context)
    }

    fn abandon(&mut self) {
        self.drop_call();
    }
}
