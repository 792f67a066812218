//! The settings as a user writes them.

use broker_core::base::BaseBroker;
use broker_core::config::Settings;
use broker_core::registry::{ProviderConfig, Registry};
use broker_core::{Capabilities, Result};
use broker_inline::{InlineBroker, InlineConfig, PROVIDER};

use crate::support::*;

fn open(toml: &str) -> Result<InlineBroker> {
    let mut settings = Settings::from_table("broker.toml: brokers.default", toml.parse().unwrap())?;
    settings.take_common()?;
    settings.parse::<InlineConfig>()?.open(context("default"))
}

/// What a user is told.
fn line(toml: &str) -> String {
    let settings = Settings::from_table("broker.toml: brokers.default", toml.parse().unwrap()).unwrap();
    let opened = PROVIDER.open(&settings, context("default"));
    opened.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn the_provider_is_registered_under_its_name() {
    let registry = Registry::linked().unwrap();
    let provider = registry.get("inline", "brokers.default.provider").unwrap();
    assert_eq!(provider.package(), "broker-inline");
    assert!(
        provider.claims()[0]
            .1
            .contains(Capabilities::ENTERPRISE_STREAMING)
    );
    let mut settings = Settings::from_url("inline://settings-url").unwrap();
    settings.take_common().unwrap();
    let broker = provider.open(&settings, context("default")).unwrap();
    assert!(broker.capabilities().contains(Capabilities::DELAYED_DELIVERY));
}

#[tokio::test(start_paused = true)]
async fn capabilities_are_kept_or_taken_away() {
    let capabilities = |toml: &str| open(toml).unwrap().capabilities();
    assert_eq!(
        capabilities("capabilities = 'RELIABLE_MESSAGING'"),
        Capabilities::RELIABLE_MESSAGING
    );
    assert_eq!(
        capabilities("capabilities = ['SIMPLE_QUEUING', 'BLOCKING_READ']"),
        Capabilities::SIMPLE_QUEUING | Capabilities::BLOCKING_READ
    );
    let full = capabilities("");
    let left = capabilities("capabilities = '-REPLAY, -DEAD_LETTER_QUEUE'");
    assert_eq!(
        full - left,
        Capabilities::REPLAY | Capabilities::DEAD_LETTER_QUEUE
    );
    let left = capabilities("capabilities = '-CONSUMER_GROUPS'");
    assert!(left.contains(Capabilities::SUBSCRIBE) && !left.has_any_capability(Capabilities::ACK_NACK));
}

#[tokio::test(start_paused = true)]
async fn a_uri_names_a_shared_state() {
    let one = open("uri = 'inline://settings-shared'").unwrap();
    let two = open("shared = 'settings-shared'").unwrap();
    let mut batch = vec![broker_core::Message::text("a")];
    let name = stream("s");
    one.publish(broker_core::base::PublishBatch::new(&name, &mut batch))
        .await
        .unwrap();
    assert_eq!(two.families().streams.unwrap().list().await.unwrap(), [name]);
    open("uri = 'inline://'").unwrap();
}

#[test]
fn the_schema_is_there_where_the_crate_is_built_with_it_and_names_every_setting() {
    let schema = broker_inline::PROVIDER.settings_schema();
    assert_eq!(schema.is_some(), cfg!(feature = "schema"));
    if let Some(schema) = schema {
        let text = schema.to_string();
        for key in [
            "uri",
            "shared",
            "capabilities",
            "partitions",
            "history",
            "when_full",
            "max_dead_letters",
        ] {
            assert!(text.contains(&format!("\"{key}\"")), "{key}");
        }
    }
}

#[test]
fn wrong_settings_are_one_clear_line_each() {
    let table = [
        (
            "partition = 4",
            "config: broker.toml: brokers.default.partition: unknown key; did you mean `partitions`?",
        ),
        (
            "when_full = 'drop'",
            "config: broker.toml: brokers.default.when_full: unknown value `drop`; one of wait, refuse is expected",
        ),
        (
            "capabilities = 'REPLY'",
            "config: broker.toml: brokers.default.capabilities: unknown capability `REPLY`; did you mean `REPLAY`?",
        ),
        (
            "capabilities = 'PUBLISH, REPLAY'",
            "config: broker.toml: brokers.default.capabilities: REPLAY needs SUBSCRIBE, which is not kept; keep both or \
             neither",
        ),
        (
            "capabilities = 'TRANSACTIONS, PUBLISH'",
            "config: broker.toml: brokers.default.capabilities: the inline broker can't do TRANSACTIONS; it can do \
             ENTERPRISE_STREAMING + PATTERN_SUBSCRIPTION, DELAYED_DELIVERY, IDEMPOTENT_PUBLISH, RETENTION, \
             LEASE_EXTENSION",
        ),
        (
            "capacity = 0",
            "config: broker.toml: brokers.default.capacity: 0 is out of bounds; a number from 1 to 9223372036854775807 is expected",
        ),
        (
            "partitions = 3\ncapabilities = 'SIMPLE_QUEUING'",
            "config: broker.toml: brokers.default.partitions: more than one partition needs STREAM_PARTITIONING, which \
             `capabilities` leaves out",
        ),
        (
            "uri = 'inline://a:1'",
            "config: broker.toml: brokers.default.uri: `inline://` or `inline://NAME` is expected, without port and with one name",
        ),
        (
            "uri = 'inline://user:secret@a'",
            "config: broker.toml: brokers.default.uri: `inline://` or `inline://NAME` is expected, without user, password and path",
        ),
        (
            "uri = 'inline://a'\nshared = 'b'",
            "config: broker.toml: brokers.default.uri: names another state than `shared`; keep one of them",
        ),
    ];
    for (toml, expected) in table {
        assert_eq!(line(toml), format!("inline: {expected}"));
    }
}
