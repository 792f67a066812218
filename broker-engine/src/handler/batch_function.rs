//! Functions as handlers of batches.

use std::future::Future;

use broker_core::Result;

use super::{BoxError, IncomingBatch, IntoOutcomes};
use crate::extract::{FromContext, FromMessage};
use crate::states::States;

/// A function that handles messages together: it takes a `Vec` of an [extractor](crate::extract), or of a tuple of
/// extractors, then up to five things that come [with the subscriber](FromContext), and answers anything that
/// [is an outcome for each](IntoOutcomes). A message that can't be extracted is not in the `Vec`, and fails by itself.
/// `Args` are what it takes.
pub trait BatchHandler<Args>: Clone + Send + Sync + 'static {
    /// The function's future.
    type Future: Future<Output: IntoOutcomes> + Send + 'static;

    /// Takes what the function needs out of the messages, and calls it, unless there is nothing to call it with.
    ///
    /// # Errors
    ///
    /// Where the subscriber has not what the function takes.
    fn handle(&self, batch: IncomingBatch) -> Result<Called<Self::Future>, BoxError>;

    /// Checks that the function will find what it takes, besides the messages themselves.
    ///
    /// # Errors
    ///
    /// What is missing, and the line to add.
    fn check(states: &States) -> Result<()>;
}

/// A handler of batches that was called.
#[derive(Debug)]
pub struct Called<F> {
    /// What it does; `None` where no message was left to call it with.
    pub(super) future: Option<F>,
    /// Of each message, why it was left out, if it was.
    pub(super) left_out: Vec<Option<BoxError>>,
}

/// The parts of the messages that have them, and of each message, why it has them not.
fn take<T: FromMessage>(batch: &IncomingBatch) -> (Vec<T>, Vec<Option<BoxError>>) {
    let mut taken = Vec::with_capacity(batch.len());
    let left_out = batch.iter().map(|incoming| match T::from_message(incoming) {
        Ok(part) => {
            taken.push(part);
            None
        }
        Err(error) => Some(error),
    });
    let left_out = left_out.collect();
    (taken, left_out)
}

macro_rules! batch_handler {
    ($($extractor:ident),*) => {
        impl<F, Fut, T, $($extractor,)*> BatchHandler<(T, $($extractor,)*)> for F
        where
            F: Fn(Vec<T>, $($extractor),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoOutcomes,
            T: FromMessage,
            $($extractor: FromContext,)*
        {
            type Future = Fut;

            fn handle(&self, batch: IncomingBatch) -> Result<Called<Fut>, BoxError> {
                let (taken, left_out) = take(&batch);
                let future = match batch.first() {
                    Some(first) if !taken.is_empty() => {
                        let _context = &first.context;
                        Some(self(taken, $($extractor::from_context(_context)?),*))
                    }
                    _ => None,
                };
                Ok(Called { future, left_out })
            }

            fn check(states: &States) -> Result<()> {
                T::check(states)?;
                $($extractor::check(states)?;)*
                Ok(())
            }
        }
    };
}

batch_handler!();
batch_handler!(A);
batch_handler!(A, B);
batch_handler!(A, B, C);
batch_handler!(A, B, C, D);
batch_handler!(A, B, C, D, E);
