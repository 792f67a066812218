//! The span of a handling, by OpenTelemetry's messaging conventions.

use std::fmt::Display;

use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use super::links;
use super::sealed::{Answer, Handled};
use crate::handler::{BoxError, Outcome, cause};
use crate::incoming::Incoming;

/// What a handling's span is called, whatever its display name.
const NAME: &str = "process";

/// The span of a handling, unless that has begun already.
pub(crate) fn begin<A: Answer, R: Handled<A>>(request: &R) -> Span {
    let messages = request.messages();
    let Some(first) = messages.first().filter(|_| !is_traced()) else {
        return Span::none();
    };
    let span = span_of(first, R::IS_BATCH.then_some(messages.len()));
    if span.is_disabled() {
        return span;
    }
    if R::IS_BATCH {
        links::link(&span, messages.iter().map(|incoming| incoming.delivery.headers()));
    } else {
        links::follow(&span, first.delivery.headers());
    }
    span
}

/// The span of one message's handling, or of that of a batch of so many.
fn span_of(first: &Incoming, batch: Option<usize>) -> Span {
    let delivery = &first.delivery;
    let alone = batch.is_none().then_some(delivery);
    info_span!(
        NAME,
        otel.name = format_args!("process {}", delivery.stream()),
        otel.kind = "consumer",
        otel.status_code = Empty,
        otel.status_description = Empty,
        messaging.system = first.context.broker().provider(),
        messaging.operation.type = "process",
        messaging.operation.name = "process",
        messaging.destination.name = %delivery.stream(),
        messaging.consumer.group.name = %first.context.group(),
        messaging.client.id = %delivery.consumer(),
        messaging.batch.message_count = batch,
        messaging.message.id = alone.map(|delivery| display(delivery.id())),
        messaging.message.body.size = alone.map(|delivery| delivery.payload().len()),
        messaging.delivery.attempt = alone.map(|delivery| delivery.attempt()),
        traceparent = Empty,
    )
}

/// Tells the span how the handling ended, and what follows from it where it comes from.
pub(crate) fn end<A: Answer>(answer: &mut Result<A, BoxError>, span: &Span) {
    if span.is_disabled() {
        return;
    }
    match A::outcomes(answer) {
        Ok(outcomes) => {
            for outcome in outcomes {
                match outcome {
                    Ok(outcome) => conclude(outcome, span),
                    Err(error) => failed(span, cause(error)),
                }
            }
        }
        Err(error) => failed(span, cause(error)),
    }
}

/// Whether the message that is being handled has its span: one that the engine made needs no second one by a layer.
fn is_traced() -> bool {
    Span::current()
        .metadata()
        .is_some_and(|metadata| metadata.name() == NAME && metadata.target() == module_path!())
}

fn conclude(outcome: &mut Outcome, span: &Span) {
    match outcome {
        Outcome::Ack | Outcome::Skip => {}
        Outcome::Nack { reason, .. } | Outcome::DeadLetter { reason } => failed(span, cause(reason)),
        Outcome::Publish(messages) => {
            for outgoing in messages {
                links::stamp(span, outgoing.message.headers_mut());
            }
        }
        Outcome::Reply(answer) => links::stamp(span, answer.headers_mut()),
    }
}

fn failed(span: &Span, error: &(impl Display + ?Sized)) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", display(error));
}
