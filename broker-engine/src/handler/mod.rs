//! From a function to a service: what it takes, what it answers, what became of the message.

mod batch;
mod batch_function;
mod batch_service;
mod boxed;
mod error;
mod function;
mod into_outcome;
mod outcome;
mod outcomes;
mod outgoing;
mod service;

pub use batch::IncomingBatch;
pub use batch_function::{BatchHandler, Called};
pub use batch_service::{BatchHandlerFuture, BatchHandlerService};
pub use error::{BoxError, Permanent, RetryAfter, Undecodable};
pub use function::Handler;
pub use into_outcome::IntoOutcome;
pub use outcome::Outcome;
pub(crate) use outcomes::cause;
pub use outcomes::{IntoOutcomes, Outcomes};
pub use outgoing::Outgoing;
pub use service::{HandlerFuture, HandlerService};
