//! What a group takes of its stream's exchange, by the exchange's type.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use broker_core::{Broker, Error, ErrorKind, Message};
use broker_rabbitmq::{ExchangeType, RabbitMqConfig as Settings};
use broker_testkit::servers::{RabbitMqConfig, RabbitMqServer};

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(server: &RabbitMqServer, set: impl FnOnce(&mut Settings)) -> Result<Broker, Error> {
    let mut settings = Settings::new(&server.url())?;
    set(&mut settings);
    Broker::open(settings)
}

/// Reads what is there for the group, up to a message that says that it is the last.
async fn texts(broker: &Broker, stream: &str, group: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != "last") {
        let batch = broker.read_wait(stream, group, 10, PATIENCE).await.unwrap();
        assert!(!batch.is_empty(), "nothing came after {texts:?}");
        for delivery in batch {
            texts.push(String::from_utf8_lossy(delivery.payload()).into_owned());
            delivery.ack().await.unwrap();
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_direct_exchange_takes_its_key_and_what_nobody_takes_is_told() {
    let server = RabbitMqConfig::new().start().unwrap();
    let taking = |key: &str| {
        let key = key.to_owned();
        open(&server, |settings| {
            settings.exchange_type = ExchangeType::Direct;
            settings.routing_key = "{key}".to_owned();
            settings.binding_key = Some(key);
        })
    };
    let (eu, us) = (taking("eu").unwrap(), taking("us").unwrap());
    for (broker, group) in [(&eu, "eu"), (&us, "us")] {
        drop(broker.read("orders", group, 0).await.unwrap());
    }
    for (text, key) in [("tea", "eu"), ("coffee", "us"), ("last", "eu"), ("last", "us")] {
        eu.publish("orders", Message::text(text).key(key)).await.unwrap();
    }
    assert_eq!(texts(&eu, "orders", "eu").await, ["tea", "last"]);
    assert_eq!(texts(&us, "orders", "us").await, ["coffee", "last"]);
    let nobody = eu.publish("orders", Message::text("mate").key("ar")).await;
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NotFound);
    eu.close().await.unwrap();
    us.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_topic_exchange_takes_keys_by_pattern() {
    let server = RabbitMqConfig::new().start().unwrap();
    let taking = |binding: Option<&str>| {
        let binding = binding.map(str::to_owned);
        open(&server, |settings| {
            settings.exchange_type = ExchangeType::Topic;
            settings.routing_key = "{key}".to_owned();
            settings.binding_key = binding;
        })
        .unwrap()
    };
    let (eu, all) = (taking(Some("eu.*")), taking(None));
    drop(eu.read("orders", "eu", 0).await.unwrap());
    drop(all.read("orders", "all", 0).await.unwrap());
    for (text, key) in [("tea", "eu.de"), ("coffee", "us.ny"), ("last", "eu.fr")] {
        all.publish("orders", Message::text(text).key(key)).await.unwrap();
    }
    assert_eq!(texts(&eu, "orders", "eu").await, ["tea", "last"]);
    assert_eq!(texts(&all, "orders", "all").await, ["tea", "coffee", "last"]);
    eu.close().await.unwrap();
    all.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_headers_exchange_takes_what_has_its_headers() {
    let server = RabbitMqConfig::new().start().unwrap();
    let broker = open(&server, |settings| {
        settings.exchange_type = ExchangeType::Headers;
        settings.binding_headers = [("region".to_owned(), "eu".to_owned())].into();
        settings.mandatory = false;
    })
    .unwrap();
    drop(broker.read("orders", "eu", 0).await.unwrap());
    for (text, region) in [("tea", "eu"), ("coffee", "us"), ("last", "eu")] {
        let message = Message::text(text).header("region", region).header("b", "1");
        broker.publish("orders", message).await.unwrap();
    }
    assert_eq!(texts(&broker, "orders", "eu").await, ["tea", "last"]);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_that_could_not_work_is_refused_at_open() {
    let server = RabbitMqConfig::new().start().unwrap();
    type Set = fn(&mut Settings);
    let wrong: [(&str, Set); 5] = [
        ("binding_key", |settings| {
            settings.binding_key = Some("eu".to_owned());
        }),
        ("binding_headers", |settings| {
            settings.binding_headers = [("a".to_owned(), "b".to_owned())].into();
        }),
        ("binding_key", |settings| {
            settings.exchange_type = ExchangeType::Direct;
            settings.routing_key = "{key}".to_owned();
        }),
        ("exchange", |settings| {
            settings.exchange_type = ExchangeType::Topic;
            settings.exchange = "events".to_owned();
            settings.routing_key = "{stream}.{key}".to_owned();
        }),
        ("exchange_type", |settings| {
            settings.exchange_type = ExchangeType::Topic;
            settings.declare = false;
        }),
    ];
    for (key, set) in wrong {
        let error = open(&server, set).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
}
