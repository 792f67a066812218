//! What commands answer when nobody is there, and that an application's own provider has every command.

use std::time::Duration;

use crate::support::run;
use broker::base::{
    BaseBroker, Deliveries, HealthReport, Nack, OpenContext, PublishBatch, ReadRequest, Settle,
};
use broker::registry::{Provider, ProviderConfig};
use broker::{Capabilities, Error, ErrorKind, Published, Result, Settlements};
use broker_cli::Exit;

/// A server that refuses every connection.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Away {
    uri: String,
}

static AWAY: Provider = Provider::new::<Away>("away", "tests");

broker::register_provider!(AWAY);

impl ProviderConfig for Away {
    type Broker = Self;

    const PROVIDER: &'static Provider = &AWAY;

    fn open(self, _: OpenContext) -> Result<Self> {
        Ok(self)
    }
}

impl Away {
    fn refused<T>(&self) -> Result<T> {
        Err(Error::new(ErrorKind::Connection, "connect failed").with("host", &self.uri))
    }
}

impl BaseBroker for Away {
    fn capabilities(&self) -> Capabilities {
        Capabilities::SIMPLE_QUEUING
    }

    async fn publish(&self, _: PublishBatch<'_>) -> Result<Published> {
        self.refused()
    }

    async fn read(&self, _: ReadRequest<'_>) -> Result<Deliveries> {
        self.refused()
    }

    async fn ack(&self, _: Settle<'_>) -> Result<Settlements> {
        Err(Error::unsupported(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
    }

    async fn nack(&self, _: Nack<'_>) -> Result<Settlements> {
        Err(Error::unsupported(Capabilities::MESSAGE_REJECTION))
    }

    async fn ping(&self) -> Result<()> {
        self.refused()
    }

    fn health_stats(&self) -> HealthReport {
        HealthReport::default()
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.refused()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_one_line_and_code_3() {
    for command in [
        &["ping"][..],
        &["publish", "orders", "-d", "x"],
        &["read", "orders", "-g", "g"],
        &["tail", "orders"],
        &["groups", "orders"],
        &["dlq", "list", "orders", "-g", "g"],
    ] {
        let began = tokio::time::Instant::now();
        let answer = run(&[command, &["--url", "away://host:1"]].concat()).await;
        assert_eq!(
            (answer.exit, answer.output.as_str()),
            (Exit::Connection, ""),
            "{command:?}: {answer:?}"
        );
        assert_eq!(answer.errors.lines().count(), 1, "{}", answer.errors);
        assert!(
            answer
                .errors
                .contains("(away): connection: connect failed (host=away://host:1"),
            "{}",
            answer.errors
        );
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn health_of_a_server_that_is_away_is_a_report_and_code_3() {
    let answer = run(&["health", "--url", "away://host:1", "--format", "json"]).await;
    assert_eq!((answer.exit, answer.errors.as_str()), (Exit::Connection, ""));
    let object = answer.object();
    assert_eq!(
        (&object["status"], &object["connected"]),
        (&"unhealthy".into(), &false.into())
    );
    assert!(object["ping_ms"].is_null());
    assert!(
        object["error"].as_str().unwrap().contains("connect failed"),
        "{object}"
    );
}

#[tokio::test]
async fn a_provider_of_ones_own_is_listed_and_described() {
    let answer = run(&["providers"]).await.good();
    let line = answer
        .output
        .lines()
        .find(|line| line.starts_with("away "))
        .unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["away", "-", "not", "stated"]
    );
    let schema = run(&["config", "schema"]).await.good().output;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["$defs"]["away"]["additionalProperties"], true);
}
