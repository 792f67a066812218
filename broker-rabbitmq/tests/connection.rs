//! What can't be connected to, in one line each; TLS, blocked connections, and messages that go to nobody.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use broker_core::broker::NackOptions;
use broker_core::config::Settings;
use broker_core::registry::Registry;
use broker_core::{Broker, Error, ErrorKind, HealthStatus, Message, Retry};
use broker_rabbitmq::PROVIDER;
use broker_testkit::servers::{Certificates, RabbitMqConfig};

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(settings: &[(&str, toml::Value)]) -> Result<Broker, Error> {
    let mut registry = Registry::new();
    registry.add(&PROVIDER)?;
    let mut all = Settings::default();
    all.set("provider", "rabbitmq", None);
    for (key, value) in settings {
        all.set(key, value.clone(), None);
    }
    Broker::from_settings("default", all, &registry)
}

fn at(url: &str) -> Result<Broker, Error> {
    open(&[("uri", url.into())])
}

/// Settings that can't be meant are refused before anything is connected.
#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (key, value, line) in [
        ("queue_type", toml::Value::from("mirrored"), "quorum"),
        ("hearbeat", "10s".into(), "did you mean `heartbeat`?"),
        (
            "heartbeat",
            "1500ms".into(),
            "heartbeat: whole seconds up to 65535 are expected",
        ),
        (
            "tls_ca",
            "ca.pem".into(),
            "tls: certificates are set and TLS is not; use `amqps://`",
        ),
        (
            "queue",
            "{stram}".into(),
            "queue: it has a brace that is none of {stream} and {group}",
        ),
        (
            "exchange",
            "all".into(),
            "declare: streams would share an exchange",
        ),
        (
            "connection_attempts",
            0.into(),
            "connection_attempts: a number above zero is expected",
        ),
    ] {
        let error = open(&[(key, value)]).err().unwrap().to_string();
        assert!(error.contains(line), "{key}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_is_one_clear_line() {
    let server = RabbitMqConfig::new()
        .user("app", "secret-of-app")
        .vhost("shop")
        .rights("app", "shop", ["^mine", ".*", ".*"])
        .start()
        .unwrap();
    let port = server.port();
    for (url, kind, line) in [
        (
            format!("amqp://app:wrong-secret@127.0.0.1:{port}/shop"),
            ErrorKind::Permission,
            "refuses this user",
        ),
        (
            format!("amqp://app:secret-of-app@127.0.0.1:{port}/nowhere"),
            ErrorKind::Permission,
            "virtual host",
        ),
    ] {
        let error = at(&url).unwrap().ensure_connection().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_class()),
            (kind, Retry::Never),
            "{error}"
        );
        let told = error.to_string();
        assert!(told.contains(line) && told.contains(&port.to_string()), "{told}");
        assert!(!told.contains("secret") && !told.contains('\n'), "{told}");
    }
    let broker = at(&format!("amqp://app:secret-of-app@127.0.0.1:{port}/shop")).unwrap();
    let error = broker.publish("orders", Message::text("tea")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(error.to_string().contains("access"), "{error}");
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_type_is_refused_by_name() {
    let server = RabbitMqConfig::new().start().unwrap();
    let quorum = at(&server.url()).unwrap();
    drop(quorum.read("orders", "billing", 0).await.unwrap());
    let classic = open(&[("uri", server.url().into()), ("queue_type", "classic".into())]).unwrap();
    let error = classic.read("orders", "billing", 1).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("orders/billing"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_goes_to_nobody_is_told_and_the_others_are_stored() {
    let server = RabbitMqConfig::new().start().unwrap();
    let broker = at(&server.url()).unwrap();
    let error = broker.publish("orders", Message::text("tea")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("mandatory = false"), "{error}");
    drop(broker.read("orders", "billing", 0).await.unwrap());
    let batch = (0..100).map(|number| Message::text(number.to_string())).collect();
    assert_eq!(broker.publish_batch("orders", batch).await.unwrap().stored(), 100);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_overlap_and_each_is_told_what_of_it_went_to_nobody() {
    let server = RabbitMqConfig::new().start().unwrap();
    let broker = at(&server.url()).unwrap();
    for number in 0..8 {
        drop(broker.read(format!("heard-{number}"), "g", 0).await.unwrap());
    }
    // More streams than channels, so that what is returned and what is stored go by the same ones.
    let mut publishing = tokio::task::JoinSet::new();
    for number in 0..8 {
        for stream in [format!("heard-{number}"), format!("unheard-{number}")] {
            let broker = broker.clone();
            publishing.spawn(async move {
                for _ in 0..30 {
                    let batch = (0..20).map(|number| Message::text(number.to_string())).collect();
                    let published = broker.publish_batch(&stream, batch).await.unwrap();
                    let expected = if stream.starts_with("heard") { 20 } else { 0 };
                    assert_eq!(published.stored(), expected, "{stream}");
                }
            });
        }
    }
    while let Some(done) = publishing.join_next().await {
        done.unwrap();
    }
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_queues_are_used_as_they_are_as_a_work_queue() {
    let server = RabbitMqConfig::new().start().unwrap();
    let maker = open(&[("uri", server.url().into()), ("queue_type", "classic".into())]).unwrap();
    drop(maker.read("jobs", "all", 0).await.unwrap());
    let broker = open(&[
        ("uri", server.url().into()),
        ("declare", false.into()),
        ("exchange", "".into()),
        ("queue", "jobs/all".into()),
        ("routing_key", "jobs/all".into()),
        ("queue_type", "classic".into()),
    ])
    .unwrap();
    broker.publish("work", Message::text("tea")).await.unwrap();
    let batch = broker.read_wait("work", "anybody", 1, PATIENCE).await.unwrap();
    for delivery in batch {
        assert_eq!(delivery.payload().as_ref(), b"tea");
        delivery
            .nack_with(NackOptions::new().delay(Duration::ZERO))
            .await
            .unwrap();
    }
    for delivery in broker.read_wait("work", "anybody", 1, PATIENCE).await.unwrap() {
        assert_eq!(delivery.attempt(), 2);
        delivery.ack().await.unwrap();
    }
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_is_waited_for_and_health_says_so() {
    let server = RabbitMqConfig::new().start().unwrap();
    let broker = at(&server.url()).unwrap();
    drop(broker.read("orders", "billing", 0).await.unwrap());
    broker.publish("orders", Message::text("before")).await.unwrap();
    server.memory_alarm(true).unwrap();
    let publish = |text: &'static str| {
        let broker = broker.clone();
        tokio::spawn(async move { broker.publish("orders", Message::text(text)).await })
    };
    // A server tells whoever publishes, and may still take the message that it tells it for.
    let told = publish("told");
    let until = tokio::time::Instant::now() + PATIENCE;
    while broker.health_stats().await.status != HealthStatus::Degraded {
        assert!(
            tokio::time::Instant::now() < until,
            "{:?}",
            broker.health_stats().await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut waiting = publish("waiting");
    let quiet = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(quiet.is_err(), "the publish ended: {quiet:?}");
    // Reading and settling go on.
    for delivery in broker.read_wait("orders", "billing", 1, PATIENCE).await.unwrap() {
        delivery.ack().await.unwrap();
    }
    server.memory_alarm(false).unwrap();
    told.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    let mut left = 2;
    while left > 0 {
        left -= broker
            .read_wait("orders", "billing", left, PATIENCE)
            .await
            .unwrap()
            .len();
    }
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_client_certificate_works_and_a_stranger_is_refused() {
    let server = RabbitMqConfig::new().tls().start().unwrap();
    let path = |path: &std::path::Path| toml::Value::from(path.to_str().unwrap());
    let trusting = |of: &Certificates, with: &Certificates| {
        open(&[
            ("uri", server.url().into()),
            ("tls_ca", path(&of.ca)),
            ("tls_cert", path(&with.client)),
            ("tls_key", path(&with.client_key)),
        ])
    };
    let certificates = server.certificates().unwrap();
    assert!(server.url().starts_with("amqps://"));
    let broker = trusting(certificates, certificates).unwrap();
    drop(broker.read("orders", "billing", 0).await.unwrap());
    broker.publish("orders", Message::text("tea")).await.unwrap();
    broker.close().await.unwrap();

    let stranger = open(&[("uri", server.url().into())]).unwrap();
    let error = stranger.ensure_connection().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.to_string().contains("tls_ca"), "{error}");
}
