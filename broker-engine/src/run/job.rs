//! Room for one run of an async function, used again and again.

use std::pin::Pin;
use std::task::{Context, Poll};

/// An async function behind a pointer, with room for one run in flight.
pub(crate) trait Job<A, T>: Send {
    /// Begins; the run before has ended.
    fn start(&mut self, argument: A);
    /// Goes on with it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T>;
}

struct Room<F, U> {
    function: F,
    future: Pin<Box<Option<U>>>,
}

/// Gives an async function room for one run in flight.
pub(crate) fn job<A, T, F, U>(function: F) -> Box<dyn Job<A, T>>
where
    F: Fn(A) -> U + Send + 'static,
    U: Future<Output = T> + Send + 'static,
{
    Box::new(Room {
        function,
        future: Box::pin(None),
    })
}

impl<A, T, F, U> Job<A, T> for Room<F, U>
where
    F: Fn(A) -> U + Send,
    U: Future<Output = T> + Send,
{
    #[inline]
    fn start(&mut self, argument: A) {
        let future = (self.function)(argument);
        self.future.set(Some(future));
    }

    #[inline]
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            // Nobody polls a job that was not started; one who did would wait for nothing.
            return Poll::Pending;
        };
        let answer = std::task::ready!(future.poll(context));
        self.future.set(None);
        Poll::Ready(answer)
    }
}
