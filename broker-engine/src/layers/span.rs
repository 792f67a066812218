//! The span of a handling, by OpenTelemetry's messaging conventions.

use std::fmt::Display;

use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use super::links;
use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes, cause};
use crate::incoming::Incoming;

/// What a handling's span is called, whatever its display name.
const NAME: &str = "process";

/// What is handled within a span of its own: a message, or a batch.
pub trait Handled: sealed::Handled {
    /// What its handler answers.
    type Answer: sealed::Answer;
}

impl Handled for Incoming {
    type Answer = Outcome;
}

impl Handled for IncomingBatch {
    type Answer = Outcomes;
}

pub(crate) mod sealed {
    use super::{BoxError, Span};

    pub trait Handled {
        /// The span of its handling, unless that has begun already.
        fn span(&self) -> Span;
    }

    pub trait Answer: Sized {
        /// Tells the span how the handling ended, and what follows from it where it comes from.
        fn end(answer: &mut Result<Self, BoxError>, span: &Span);
    }
}

impl sealed::Handled for Incoming {
    fn span(&self) -> Span {
        let delivery = &self.delivery;
        if is_traced() {
            return Span::none();
        }
        let span = info_span!(
            NAME,
            otel.name = format_args!("process {}", delivery.stream()),
            otel.kind = "consumer",
            otel.status_code = Empty,
            otel.status_description = Empty,
            messaging.system = self.context.broker().provider(),
            messaging.operation.type = "process",
            messaging.operation.name = "process",
            messaging.destination.name = %delivery.stream(),
            messaging.consumer.group.name = %self.context.group(),
            messaging.client.id = %delivery.consumer(),
            messaging.message.id = %delivery.id(),
            messaging.message.body.size = delivery.payload().len(),
            messaging.delivery.attempt = delivery.attempt(),
            traceparent = Empty,
        );
        if !span.is_disabled() {
            links::follow(&span, delivery.headers());
        }
        span
    }
}

impl sealed::Handled for IncomingBatch {
    fn span(&self) -> Span {
        let Some(first) = self.first().filter(|_| !is_traced()) else {
            return Span::none();
        };
        let delivery = &first.delivery;
        let span = info_span!(
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
            messaging.batch.message_count = self.len(),
        );
        if !span.is_disabled() {
            links::link(&span, self.iter().map(|incoming| incoming.delivery.headers()));
        }
        span
    }
}

impl sealed::Answer for Outcome {
    fn end(answer: &mut Result<Self, BoxError>, span: &Span) {
        if span.is_disabled() {
            return;
        }
        match answer {
            Ok(outcome) => conclude(outcome, span),
            Err(error) => failed(span, cause(error)),
        }
    }
}

impl sealed::Answer for Outcomes {
    fn end(answer: &mut Result<Self, BoxError>, span: &Span) {
        if span.is_disabled() {
            return;
        }
        match answer {
            Ok(outcomes) => {
                for outcome in outcomes.iter_mut() {
                    match outcome {
                        Ok(outcome) => conclude(outcome, span),
                        Err(error) => failed(span, cause(error)),
                    }
                }
            }
            Err(error) => failed(span, cause(error)),
        }
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
