//! From a function to a service: what it takes, what it answers, what became of the message.

mod error;
mod function;
mod into_outcome;
mod outcome;
mod outgoing;
mod service;

pub use error::{BoxError, Permanent, RetryAfter, Undecodable};
pub use function::Handler;
pub use into_outcome::IntoOutcome;
pub use outcome::Outcome;
pub use outgoing::Outgoing;
pub use service::{HandlerFuture, HandlerService};
