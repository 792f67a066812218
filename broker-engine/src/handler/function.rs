//! Functions as handlers.

use std::future::Future;

use broker_core::Result;

use super::{BoxError, IntoOutcome};
use crate::extract::FromMessage;
use crate::incoming::Incoming;
use crate::states::States;

/// A function that handles messages: it takes up to eight [extractors](crate::extract) and answers anything that
/// [is an outcome](IntoOutcome). `Args` are the extractors.
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// The function's future.
    type Future: Future<Output: IntoOutcome> + Send + 'static;

    /// Takes what the function needs out of the message, and calls it.
    ///
    /// # Errors
    ///
    /// Where the message has not what the function takes.
    fn handle(&self, incoming: &Incoming) -> Result<Self::Future, BoxError>;

    /// Checks that the function will find what it takes, besides the message itself.
    ///
    /// # Errors
    ///
    /// What is missing, and the line to add.
    fn check(states: &States) -> Result<()>;
}

macro_rules! handler {
    ($($extractor:ident),*) => {
        impl<F, Fut, $($extractor,)*> Handler<($($extractor,)*)> for F
        where
            F: Fn($($extractor),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoOutcome,
            $($extractor: FromMessage,)*
        {
            type Future = Fut;

            #[inline]
            fn handle(&self, incoming: &Incoming) -> Result<Fut, BoxError> {
                let _ = incoming;
                Ok(self($($extractor::from_message(incoming)?),*))
            }

            fn check(states: &States) -> Result<()> {
                let _ = states;
                $($extractor::check(states)?;)*
                Ok(())
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
handler!(A, B, C, D, E, G);
handler!(A, B, C, D, E, G, H);
handler!(A, B, C, D, E, G, H, I);
