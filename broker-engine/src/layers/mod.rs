//! The engine's own tower layers, each in one file. Tower's own work beside them, unchanged.

mod correlation;
mod dead_letter;
mod dedup;
mod filter;
mod handled;
#[cfg_attr(not(feature = "opentelemetry"), path = "unlinked.rs")]
mod links;
mod metrics;
mod retry;
pub(crate) mod span;
mod tracing;
#[cfg(feature = "opentelemetry")]
mod unlinked;

pub use self::metrics::{Meter, MetricsLayer, MetricsService};
pub use self::tracing::{TracingFuture, TracingLayer, TracingService};
pub use correlation::{CorrelationLayer, CorrelationService, Current, current};
pub use dead_letter::{DeadLetterLayer, DeadLetterService};
pub use dedup::{DedupLayer, DedupService};
pub use filter::{FilterFuture, FilterLayer, FilterService};
pub use handled::Handled;
pub(crate) use handled::sealed;
pub use retry::{RetryLayer, RetryService};

use std::pin::Pin;

use crate::handler::BoxError;

/// The boxed future of a layer that does more than poll what is below it, with the answer of a message or of a batch.
pub type LayerFuture<A> = Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>>;
