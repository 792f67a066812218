//! The JSON Schema of the configuration.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::time::Duration;

use broker_core::base::{
    BaseBroker, Deliveries, HealthReport, Nack, OpenContext, PublishBatch, ReadRequest, Settle,
};
use broker_core::config::{BrokerConfig, BrokerUrl, Config, duration};
use broker_core::registry::{Provider, ProviderConfig, Registry};
use broker_core::{Capabilities, Error, Published, Result, Secret, Settlements};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

static DESCRIBED: Provider = Provider::new::<Described>("described", "tests")
    .schemes(&["describeds"])
    .schema(|| schemars::schema_for!(Described).to_value());
static SILENT: Provider = Provider::new::<Described>("silent", "tests");

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Described {
    /// Where to.
    uri: Option<BrokerUrl>,
    password: Secret,
    pool_size: u16,
    mode: Mode,
    #[serde(with = "duration")]
    #[schemars(schema_with = "duration::schema")]
    patience: Duration,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Queue,
    Channel,
}

impl Default for Described {
    fn default() -> Self {
        Self {
            uri: None,
            password: Secret::default(),
            pool_size: 4,
            mode: Mode::Queue,
            patience: Duration::from_secs(1),
        }
    }
}

/// What is never opened here.
struct Nothing;

impl ProviderConfig for Described {
    type Broker = Nothing;

    const PROVIDER: &'static Provider = &DESCRIBED;

    fn open(self, _: OpenContext) -> Result<Nothing> {
        Ok(Nothing)
    }
}

impl BaseBroker for Nothing {
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }

    async fn publish(&self, _: PublishBatch<'_>) -> Result<Published> {
        Err(Error::closed())
    }

    async fn read(&self, _: ReadRequest<'_>) -> Result<Deliveries> {
        Err(Error::closed())
    }

    async fn ack(&self, _: Settle<'_>) -> Result<Settlements> {
        Err(Error::closed())
    }

    async fn nack(&self, _: Nack<'_>) -> Result<Settlements> {
        Err(Error::closed())
    }

    async fn ping(&self) -> Result<()> {
        Err(Error::closed())
    }

    fn health_stats(&self) -> HealthReport {
        HealthReport::default()
    }

    async fn ensure_connection(&self) -> Result<()> {
        Err(Error::closed())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn schema() -> Value {
    let mut registry = Registry::new();
    registry.add(&DESCRIBED).unwrap();
    registry.add(&SILENT).unwrap();
    Config::schema(&registry)
}

/// What `#/…` refers to.
fn referred<'a>(schema: &'a Value, reference: &str) -> Option<&'a Value> {
    schema.pointer(reference.strip_prefix('#')?)
}

fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn a_file_has_brokers_and_a_default_among_them() {
    let schema = schema();
    assert_eq!(schema["required"], json!(["brokers"]));
    assert_eq!(schema["additionalProperties"], json!(false));
    let brokers = &schema["properties"]["brokers"];
    assert_eq!(brokers["required"], json!(["default"]));
    let broker = &brokers["additionalProperties"];
    assert_eq!(broker["required"], json!(["provider"]));
    assert_eq!(
        broker["properties"]["provider"]["enum"],
        json!(["described", "describeds", "silent"])
    );
}

#[test]
fn the_provider_decides_which_settings_there_are() {
    let schema = schema();
    let choices = schema["properties"]["brokers"]["additionalProperties"]["allOf"]
        .as_array()
        .unwrap();
    let chosen = |name: &str| {
        let mut fitting = choices.iter().filter(|choice| {
            let names = choice["if"]["properties"]["provider"]["enum"].as_array().unwrap();
            names.contains(&json!(name))
        });
        let (one, none) = (fitting.next().unwrap(), fitting.next());
        assert!(none.is_none());
        referred(&schema, one["then"]["$ref"].as_str().unwrap()).unwrap()
    };
    for name in ["described", "describeds"] {
        let broker = chosen(name);
        assert_eq!(broker["additionalProperties"], json!(false));
        assert!(broker["properties"]["pool_size"].is_object());
    }
    let silent = chosen("silent");
    assert_eq!(
        silent["additionalProperties"],
        json!(true),
        "nobody knows its settings"
    );
    assert!(silent["properties"]["max_retries"].is_object() && silent["properties"]["pool_size"].is_null());
}

/// The schema and the deserializer know the same keys.
#[test]
fn every_key_is_there_in_both_spellings_and_no_other() {
    let schema = schema();
    let properties = schema["$defs"]["described"]["properties"].as_object().unwrap();
    let text = "[brokers.default]\nprovider = 'described'\nxyz = 1";
    let mut settings = Config::from_text(text).unwrap().get("default").unwrap().clone();
    settings.take_common().unwrap();
    let error = settings.parse::<Described>().err().unwrap().to_string();
    let (_, known) = error.split_once("known here: ").unwrap();
    let mut known: Vec<String> = known.split(", ").map(str::to_owned).collect();
    known.extend(
        known
            .clone()
            .iter()
            .filter(|key| *key != "provider")
            .map(|key| key.to_ascii_uppercase()),
    );
    known.sort();
    let mut keys: Vec<_> = properties.keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, known);
}

#[test]
fn each_value_says_what_it_is_and_may_be_a_variable() {
    let schema = schema();
    let properties = &schema["$defs"]["described"]["properties"];
    let variable = json!({ "type": "string", "pattern": r"\$\{" });
    let retries = &properties["max_retries"];
    let default = BrokerConfig::default().max_retries;
    assert_eq!(
        (&retries["default"], &retries["anyOf"][1]),
        (&json!(default), &variable)
    );
    assert_eq!(retries["anyOf"][0]["type"], "integer");
    assert!(
        retries["description"]
            .as_str()
            .unwrap()
            .starts_with("How often a message is delivered again")
    );
    for (key, default) in [("message_timeout", "5m"), ("patience", "1s")] {
        assert_eq!(properties[key]["default"], default);
        assert!(
            properties[key]["anyOf"][0]["pattern"].is_string(),
            "a duration has a unit"
        );
    }
    let secret = &schema["$defs"]["described.Secret"]["description"];
    assert!(secret.as_str().unwrap().contains("${VARIABLE}"));
}

#[test]
fn whatever_is_referred_to_is_there() {
    for (schema, described) in [(schema(), true), (Config::schema(&Registry::new()), false)] {
        let mut found = Vec::new();
        references(&schema, &mut found);
        for reference in &found {
            assert!(referred(&schema, reference).is_some(), "{reference}");
        }
        assert_eq!(found.contains(&"#/$defs/described.Mode"), described);
    }
}
