//! Where a handling's span comes from, and what follows from it: OpenTelemetry's context in the messages' headers.

use broker_core::Headers;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The most links of a span: what OpenTelemetry keeps of them unless told otherwise.
const LINKS: usize = 128;

/// A single message is its handling's parent.
pub(super) fn follow(span: &Span, headers: &Headers) {
    let parent = headers.trace_context();
    if !parent.span().span_context().is_valid() || span.set_parent(parent).is_err() {
        super::unlinked::follow(span, headers);
    }
}

/// Messages of a batch come from many places: its handling is linked with each.
pub(super) fn link<'a>(span: &Span, messages: impl Iterator<Item = &'a Headers>) {
    let origins = messages.map(|headers| headers.trace_context().span().span_context().clone());
    origins
        .filter(SpanContext::is_valid)
        .take(LINKS)
        .for_each(|origin| span.add_link(origin));
}

/// What a handler answers with is published when its span is over.
pub(super) fn stamp(span: &Span, headers: &mut Headers) {
    let context = span.context();
    if context.span().span_context().is_valid() && headers.get("traceparent").is_none() {
        headers.insert_trace_context(&context);
    }
}
