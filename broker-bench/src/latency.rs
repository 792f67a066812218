//! How long messages take at a steady rate.

use serde::Serialize;

/// What one case took.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    /// The case.
    pub(crate) work: &'static str,
    /// Microseconds at the median of a round, the median of the rounds.
    pub(crate) p50: f64,
    /// Microseconds that 99 of 100 messages of a round keep below, the median of the rounds.
    pub(crate) p99: f64,
    /// The ratios to the raw client within each round, their medians, and what is asked for.
    pub(crate) beside: Option<(f64, f64, f64)>,
}
