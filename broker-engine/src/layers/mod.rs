//! The engine's own tower layers, each in one file. Tower's own work beside them, unchanged.

mod correlation;
mod dead_letter;
mod dedup;
mod filter;
#[cfg_attr(not(feature = "opentelemetry"), path = "unlinked.rs")]
mod links;
mod metrics;
mod retry;
mod span;
mod tracing;
#[cfg(feature = "opentelemetry")]
mod unlinked;

pub use self::metrics::{Meter, MetricsLayer, MetricsService};
pub use self::tracing::{TracingFuture, TracingLayer, TracingService};
pub use correlation::{CorrelationLayer, CorrelationService, Current, current};
pub use dead_letter::{DeadLetterLayer, DeadLetterService};
pub use dedup::{DedupLayer, DedupService};
pub use filter::{FilterLayer, FilterService};
pub use retry::{RetryLayer, RetryService};
pub use span::Handled;
pub(crate) use span::sealed;

use std::pin::Pin;

use crate::handler::{BoxError, Outcome, Outcomes};

/// The boxed future of a layer that does more than poll what is below it.
pub type LayerFuture = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

/// As [`LayerFuture`], of a layer over a handler of batches.
pub type BatchLayerFuture = Pin<Box<dyn Future<Output = Result<Outcomes, BoxError>> + Send>>;
