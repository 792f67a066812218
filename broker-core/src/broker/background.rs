//! Work that goes on while whoever waits for it does something else.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::oneshot;

use super::shared::Shared;
use crate::base::BoxFuture;
use crate::values::{Error, ErrorKind, Result, Retry};

impl Shared {
    /// Runs `work` in a task of its own and answers what waits for its end.
    ///
    /// A future that is kept and not polled for a while would keep to itself what it holds, such as the turn to send.
    /// Dropping the answer drops the work as well, or else what it has brought. Outside of a runtime the work is done
    /// by whoever waits.
    pub(super) fn in_background<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Box::pin(work);
        }
        let (mut answer, answered) = oneshot::channel();
        self.spawn(Box::pin(async move {
            let mut work = pin!(work);
            let done = poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => answer.poll_closed(context).map(|()| None),
            })
            .await;
            if let Some(done) = done {
                let _ = answer.send(done);
            }
        }));
        let provider = self.provider;
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Unexpected,
                    "its task was broken off, with its runtime or by a panic; try again",
                )
                .retry(Retry::Safe)
                .operation(operation)
                .provider(provider))
            })
        })
    }
}
