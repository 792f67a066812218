//! Spans of publishing, receiving and settling, by OpenTelemetry's messaging conventions.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::consumer::Consumer;
use super::shared::Shared;
use crate::base::Deliveries;
use crate::values::{Message, MessageId, Outcome, Published, Result, StreamName};

/// The most links of a span: what OpenTelemetry keeps of them unless told otherwise.
const LINKS: usize = 128;

/// A publish under way. Its messages carry its context, so that who handles them goes on from there.
pub(super) struct Publishing(Span);

impl Publishing {
    /// Begins to publish `messages` to `stream`.
    ///
    /// It belongs to what the program is doing now; where that is not traced, to what a single message says that it
    /// follows from.
    pub(super) fn begin(shared: &Shared, stream: &StreamName, messages: &mut [Message]) -> Self {
        let span = info_span!(
            "publish",
            otel.name = format_args!("publish {stream}"),
            otel.kind = "producer",
            otel.status_code = Empty,
            otel.status_description = Empty,
            messaging.system = shared.provider,
            messaging.operation.type = "send",
            messaging.operation.name = "publish",
            messaging.destination.name = %stream,
            messaging.message.id = Empty,
            messaging.batch.message_count = Empty,
        );
        if span.is_disabled() {
            return Self(span);
        }
        let current = current();
        match messages {
            [message] if current.is_none() => {
                let parent = message.headers().trace_context();
                if parent.span().span_context().is_valid() {
                    // Refused only where nobody exports spans.
                    let _unheard = span.set_parent(parent);
                }
            }
            ref messages => {
                let own = messages
                    .iter()
                    .map(|message| origin(message.headers()))
                    .filter(SpanContext::is_valid);
                let others = own.filter(|own| {
                    current
                        .as_ref()
                        .is_none_or(|current| current.trace_id() != own.trace_id())
                });
                others.take(LINKS).for_each(|other| span.add_link(other));
                if messages.len() != 1 {
                    span.record("messaging.batch.message_count", messages.len());
                }
            }
        }
        let context = span.context();
        if context.span().span_context().is_valid() {
            for message in messages {
                message.headers_mut().insert_trace_context(&context);
            }
        }
        Self(span)
    }

    /// The answer for a single message.
    pub(super) fn end(self, answer: &Result<MessageId>) {
        match answer {
            Ok(id) => {
                self.0.record("messaging.message.id", display(id));
            }
            Err(error) => self.failed(error),
        }
    }

    /// The answer for several messages.
    pub(super) fn end_all(self, published: &Published) {
        if self.0.is_disabled() {
            return;
        }
        if published.len() == 1
            && let Some(id) = published.ids().next()
        {
            self.0.record("messaging.message.id", display(id));
        }
        if !published.all_stored() {
            let outcomes = (0..published.len()).filter_map(|index| published.outcome(index));
            for outcome in outcomes {
                if let Outcome::NotSent(error) | Outcome::Unknown(error) = outcome {
                    return self.failed(&error);
                }
            }
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) {
        self.0.record("otel.status_code", "ERROR");
        self.0.record("otel.status_description", display(error));
    }
}

/// Tells of messages that were received, at the moment at which they were; who waited for how long before is not in it.
pub(super) fn received(consumer: &Consumer, deliveries: &Deliveries) {
    let member = &consumer.member;
    let span = info_span!(
        "receive",
        otel.name = format_args!("receive {}", member.stream),
        otel.kind = "client",
        messaging.system = consumer.shared.provider,
        messaging.operation.type = "receive",
        messaging.operation.name = "receive",
        messaging.destination.name = %member.stream,
        messaging.consumer.group.name = %member.group,
        messaging.batch.message_count = deliveries.len(),
    );
    if span.is_disabled() {
        return;
    }
    let lots = deliveries.lots().iter();
    let messages = lots.flat_map(|lot| (0..lot.len()).filter_map(|index| lot.message(index)));
    let origins = messages.map(|message| origin(message.headers()));
    origins
        .filter(SpanContext::is_valid)
        .take(LINKS)
        .for_each(|origin| span.add_link(origin));
}

/// A settlement under way.
pub(super) struct Settling(#[expect(dead_code, reason = "it ends with this")] Span);

impl Settling {
    /// Begins to settle `count` deliveries, by `operation`.
    pub(super) fn begin(consumer: &Consumer, operation: &'static str, count: usize) -> Self {
        let member = &consumer.member;
        Self(info_span!(
            "settle",
            otel.name = format_args!("{operation} {}", member.stream),
            otel.kind = "client",
            messaging.system = consumer.shared.provider,
            messaging.operation.type = "settle",
            messaging.operation.name = operation,
            messaging.destination.name = %member.stream,
            messaging.consumer.group.name = %member.group,
            messaging.batch.message_count = count,
        ))
    }
}

/// What the program is doing now, where that is traced.
fn current() -> Option<SpanContext> {
    let traced = [Span::current().context(), Context::current()];
    let contexts = traced.iter().map(|context| context.span().span_context().clone());
    contexts.into_iter().find(SpanContext::is_valid)
}

/// Where a message says that it comes from.
fn origin(headers: &crate::values::Headers) -> SpanContext {
    headers.trace_context().span().span_context().clone()
}
