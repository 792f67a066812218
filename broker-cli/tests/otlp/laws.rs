//! What arrives at a collector.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use broker::prelude::*;
use broker_testkit::servers::RedisConfig;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::collector::{Collector, Kept, attribute};
use crate::process::{Running, service};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Publishes numbers as somebody who is traced elsewhere.
fn publish(url: &str, numbers: impl IntoIterator<Item = u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = Broker::connect(url).await.unwrap();
        for number in numbers {
            let message = Message::json(&number).unwrap();
            let message = message.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
            broker.publish("numbers", message).await.unwrap();
        }
        broker.close().await.unwrap();
    });
}

/// The service, which no variable of the machine that it runs on reaches.
fn server(folder: &std::path::Path, url: &str, arguments: &[&str]) -> Command {
    let mut all = vec!["--url", url, "server", "--progress", "100ms"];
    all.extend(arguments);
    let mut command = service(folder, &all);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "300");
    command
}

fn handled(kept: &Kept, group: &str) -> f64 {
    let all = kept.values("broker_messages_total").into_iter();
    all.filter(|(_, labels, _)| labels.contains("as=handled") && labels.contains(group))
        .map(|(_, _, value)| value)
        .sum()
}

fn is_of(span: &Span, kind: SpanKind) -> bool {
    span.kind == kind as i32
}

pub(crate) fn spans_and_metrics() {
    let (redis, collector) = (RedisConfig::new().start().unwrap(), Collector::start());
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    publish(&url, (0..20).chain([99]));
    let mut command = server(folder.path(), &url, &[]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_SERVICE_NAME", "doubling");
    let mut running = Running::start(command);
    collector.until(|kept| handled(kept, "sums") >= 20.0);
    running.terminate();
    running.line(|line| line.starts_with("settled"));
    assert_eq!(running.code(), Some(0));
    // All of it was sent before the end.
    let kept = collector.kept();
    assert!(kept.services.iter().all(|(name, _)| name == "doubling"));

    let processed = kept.named("process numbers");
    assert_eq!(processed.len(), 21);
    for span in &processed {
        assert!(is_of(span, SpanKind::Consumer));
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (TRACE.to_owned(), PARENT.to_owned())
        );
        assert_eq!(attribute(span, "messaging.system").unwrap(), "redis");
        assert_eq!(attribute(span, "messaging.operation.type").unwrap(), "process");
        assert_eq!(
            attribute(span, "messaging.consumer.group.name").unwrap(),
            "doublers"
        );
        assert!(attribute(span, "messaging.message.id").is_some());
    }
    let failed = |span: &&&Span| {
        span.status
            .as_ref()
            .is_some_and(|status| status.code() == StatusCode::Error)
    };
    assert_eq!(processed.iter().filter(failed).count(), 1, "one was refused");

    let parents: BTreeSet<_> = processed.iter().map(|span| &span.span_id).collect();
    let published = kept.named("publish doubles");
    assert_eq!(published.len(), 20);
    for span in &published {
        assert!(is_of(span, SpanKind::Producer));
        assert_eq!(hex(&span.trace_id), TRACE, "the story goes on");
        assert!(
            parents.contains(&span.parent_span_id),
            "it follows from its handling"
        );
        assert!(attribute(span, "messaging.message.id").is_some());
    }

    let batches = kept.named("process doubles");
    assert!(!batches.is_empty() && batches.len() <= 20);
    let links: BTreeSet<_> = batches
        .iter()
        .flat_map(|span| &span.links)
        .map(|link| &link.span_id)
        .collect();
    let origins: BTreeSet<_> = published.iter().map(|span| &span.span_id).collect();
    assert_eq!(links, origins, "each message of a batch is linked");
    let in_batches: u64 = batches
        .iter()
        .map(|span| {
            attribute(span, "messaging.batch.message_count")
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(in_batches, 20);

    for (name, least) in [
        ("receive numbers", 1),
        ("receive doubles", 1),
        ("ack numbers", 1),
        ("ack doubles", 1),
    ] {
        assert!(
            kept.named(name).len() >= least,
            "{name} is missing in {:?}",
            kept.names()
        );
    }
    for name in [
        "broker_delivered_total",
        "broker_handler_seconds",
        "broker_healthy",
        "broker_in_flight",
        "broker_lag",
        "broker_messages_total",
        "broker_oldest_pending_seconds",
        "broker_pending",
        "broker_publish_failed_total",
        "broker_published_total",
        "broker_redelivered_total",
        "broker_settled_total",
    ] {
        assert!(
            kept.names().contains(name),
            "{name} is missing in {:?}",
            kept.names()
        );
    }
    assert!(
        (handled(&kept, "doublers") - 20.0).abs() < 0.5 && (handled(&kept, "sums") - 20.0).abs() < 0.5,
        "{:?}",
        kept.values("broker_messages_total")
    );
}

pub(crate) fn workers() {
    let (redis, collector) = (RedisConfig::new().start().unwrap(), Collector::start());
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    publish(&url, 0..20);
    let command = server(
        folder.path(),
        &url,
        &["--workers", "2", "--otlp", &collector.url()],
    );
    let mut running = Running::start(command);
    collector.until(|kept| {
        let tellers = kept.values("broker_healthy").len();
        tellers == 2 && handled(kept, "sums") >= 20.0 && !kept.values("broker_lag").is_empty()
    });
    running.terminate();
    running.line(|line| line.starts_with("settled"));
    assert_eq!(running.code(), Some(0));
    let kept = collector.kept();
    assert_eq!(kept.services.len(), 2, "{:?}", kept.services);
    let lags = kept.values("broker_lag");
    assert_eq!(
        lags.len(),
        2,
        "each group once, and added up they are right: {lags:?}"
    );
    assert!((handled(&kept, "sums") - 20.0).abs() < 0.5);
}

pub(crate) fn without_collector() {
    let redis = RedisConfig::new().start().unwrap();
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    publish(&url, 0..5);
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let mut command = server(folder.path(), &url, &["--otlp", &address]);
    command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    let mut running = Running::start(command);
    running.line(|line| line.contains("settled 10"));
    let asked = Instant::now();
    running.terminate();
    let told = running.line(|line| line.contains("were not sent within"));
    assert!(told.contains("5s"), "{told}");
    assert_eq!(running.code(), Some(0), "what is observed is not what is done");
    assert!(asked.elapsed().as_secs() < 40, "{:?}", asked.elapsed());
}

pub(crate) fn another_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = server(folder.path(), "inline://", &[]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let answer = command.output().unwrap();
    let errors = String::from_utf8(answer.stderr).unwrap();
    assert!(
        errors.contains("OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`"),
        "{errors}"
    );
    assert_eq!(answer.status.code(), Some(2));
}
