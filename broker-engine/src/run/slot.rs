//! Room for one call of a service, used again and again.

use std::pin::Pin;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;

/// What a lane calls: a service behind a pointer, with room for one call in flight.
pub(crate) trait Call: Send {
    /// Takes a message, and goes as far with it as that needs no waiting; the call before has ended or was dropped.
    fn start(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>>;
    /// Goes on with it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>>;
    /// Drops what is in flight.
    fn abandon(&mut self);
}

/// A service with room for one call in flight: the future of each message is put where that of the last one was, so
/// that handling allocates nothing.
pub(crate) struct Slot<S: Service<Incoming>> {
    service: S,
    /// A message whose service is not ready for it yet.
    waiting: Option<Incoming>,
    future: Pin<Box<Option<S::Future>>>,
}

impl<S: Service<Incoming>> Slot<S> {
    pub(crate) fn new(service: S) -> Self {
        Self {
            service,
            waiting: None,
            future: Box::pin(None),
        }
    }
}

impl<S> Slot<S>
where
    S: Service<Incoming, Response = Outcome>,
    S::Error: Into<BoxError>,
{
    #[inline]
    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            return Poll::Ready(Err("the handler's call was dropped".into()));
        };
        let answer = std::task::ready!(future.poll(context));
        self.future.set(None);
        Poll::Ready(answer.map_err(Into::into))
    }
}

impl<S> Call for Slot<S>
where
    S: Service<Incoming, Response = Outcome> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    #[inline]
    fn start(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        match self.service.poll_ready(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => {
                self.waiting = Some(incoming);
                return Poll::Pending;
            }
        }
        let future = self.service.call(incoming);
        self.future.set(Some(future));
        self.go_on(context)
    }

    #[inline]
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        if self.waiting.is_some() {
            std::task::ready!(self.service.poll_ready(context)).map_err(Into::into)?;
            if let Some(incoming) = self.waiting.take() {
                let future = self.service.call(incoming);
                self.future.set(Some(future));
            }
        }
        self.go_on(context)
    }

    fn abandon(&mut self) {
        self.waiting = None;
        self.future.set(None);
    }
}
