//! What is published says where it comes from, and who handles it goes on from there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use broker::prelude::*;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::subscriber::DefaultGuard;
use tracing::{Instrument as _, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

const ORIGIN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Keeps the spans of this thread.
struct Traced {
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

impl Traced {
    fn begin() -> Self {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self {
            exporter,
            _provider: provider,
            _guard: guard,
        }
    }

    fn named(&self, name: &str) -> Vec<SpanData> {
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.retain(|span| span.name == name);
        spans
    }
}

/// The span that each message says it comes from.
fn origins(batch: &Batch) -> Vec<String> {
    let origin = |message: DeliveryRef<'_>| {
        let context = message.headers().trace_context();
        context.span().span_context().span_id().to_string()
    };
    batch.iter().map(origin).collect()
}

fn followed(text: &str) -> Message {
    Message::text(text.to_owned()).header("traceparent", ORIGIN)
}

#[tokio::test(flavor = "current_thread")]
async fn a_message_belongs_to_what_the_program_does_and_else_to_what_it_follows_from() {
    let traced = Traced::begin();
    let broker = Broker::connect("inline://").await.unwrap();
    let publisher = broker.publisher("orders").build().await.unwrap();
    publisher.send(followed("from elsewhere")).await.unwrap();
    let doing = info_span!("doing");
    let own = doing.context().span().span_context().span_id();
    publisher
        .send(Message::text("from here"))
        .instrument(doing)
        .await
        .unwrap();

    let spans = traced.named("publish orders");
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].parent_span_id.to_string(), &ORIGIN[36..52]);
    assert_eq!(spans[0].span_context.trace_id().to_string(), &ORIGIN[3..35]);
    assert_eq!(spans[1].parent_span_id, own);
    let mut batch = broker.read("orders", "billing", 10).await.unwrap();
    let ids: Vec<_> = spans
        .iter()
        .map(|span| span.span_context.span_id().to_string())
        .collect();
    assert_eq!(origins(&batch), ids);

    let received = traced.named("receive orders");
    let links: Vec<_> = received[0]
        .links
        .iter()
        .map(|link| link.span_context.span_id().to_string())
        .collect();
    assert_eq!(links, ids);
    batch.ack().await.unwrap();
    assert_eq!(traced.named("ack orders").len(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn messages_of_a_batch_carry_its_span_which_is_linked_with_what_they_follow_from() {
    let traced = Traced::begin();
    let broker = Broker::connect("inline://").await.unwrap();
    let messages = vec![followed("one"), Message::text("two"), followed("three")];
    broker.publish_batch("orders", messages).await.unwrap();
    let spans = traced.named("publish orders");
    assert_eq!((spans.len(), spans[0].links.len()), (1, 2));
    let batch = broker.read("orders", "billing", 10).await.unwrap();
    assert_eq!(
        origins(&batch),
        vec![spans[0].span_context.span_id().to_string(); 3]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_refused_is_an_error_of_its_span() {
    let traced = Traced::begin();
    let broker = Broker::connect("inline://?max_payload=3").await.unwrap();
    let error = broker
        .publish("orders", Message::text("too long"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(matches!(
        &traced.named("publish orders")[0].status,
        Status::Error { .. }
    ));
}

#[tokio::test(flavor = "current_thread")]
async fn where_nobody_looks_headers_stay_as_they_are() {
    let broker = Broker::connect("inline://").await.unwrap();
    assert!(broker.has_capability(Capabilities::PUBLISH));
    broker.publish("orders", followed("one")).await.unwrap();
    broker.publish("orders", Message::text("two")).await.unwrap();
    let batch = broker.read("orders", "billing", 10).await.unwrap();
    let headers: Vec<_> = batch.iter().map(|message| message.headers().len()).collect();
    assert_eq!(headers, [1, 0]);
}
