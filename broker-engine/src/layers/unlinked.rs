//! What a span says of where its message comes from where nobody exports spans of OpenTelemetry.

use broker_core::Headers;
use tracing::Span;

/// Who reads the span finds the message's parent in it.
pub(super) fn follow(span: &Span, headers: &Headers) {
    if let Ok(Some(parent)) = headers.get_str("traceparent") {
        span.record("traceparent", parent);
    }
}

#[cfg(not(feature = "opentelemetry"))]
pub(super) fn link<'a>(_: &Span, _: impl Iterator<Item = &'a Headers>) {}

#[cfg(not(feature = "opentelemetry"))]
pub(super) fn stamp(_: &Span, _: &mut Headers) {}
