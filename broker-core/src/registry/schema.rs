//! The JSON Schema of the configuration.

use serde_json::{Map, Value, json};

use super::{Provider, Registry};
use crate::config::{BrokerConfig, Config};

impl Config {
    /// The JSON Schema of a configuration file for the providers of `registry`.
    ///
    /// A broker has the settings that all have, and beside them those of the provider that it names; one whose
    /// provider was built without a schema may have any. Each key may be written in upper case, and each value may be
    /// a `"${VARIABLE}"`.
    #[must_use]
    pub fn schema(registry: &Registry) -> Value {
        let mut definitions = Map::new();
        let common = schemars::schema_for!(BrokerConfig).to_value();
        let common = properties(common, "common", &mut definitions);
        definitions.insert(
            "common".to_owned(),
            json!({ "type": "object", "properties": common }),
        );
        let (mut names, mut choices) = (Vec::new(), Vec::new());
        for provider in registry.iter() {
            let known: Vec<_> = provider.names().collect();
            let broker = broker(provider, &common, &mut definitions);
            definitions.insert(provider.name().to_owned(), broker);
            choices.push(json!({
                "if": { "properties": { "provider": { "enum": known } } },
                "then": { "$ref": format!("#/$defs/{}", provider.name()) },
            }));
            names.extend(known);
        }
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Brokers",
            "description": "The brokers of an application.",
            "type": "object",
            "required": ["brokers"],
            "additionalProperties": false,
            "properties": {
                "brokers": {
                    "description": "The brokers by name; `default` must be there.",
                    "type": "object",
                    "required": ["default"],
                    "additionalProperties": {
                        "type": "object",
                        "required": ["provider"],
                        "properties": {
                            "provider": {
                                "description": "The provider's name, or its URL scheme.",
                                "enum": names,
                            },
                        },
                        // An empty list is none that a schema may have.
                        "allOf": if choices.is_empty() { vec![Value::Bool(true)] } else { choices },
                    },
                },
            },
            "$defs": definitions,
        })
    }
}

/// What a broker of `provider` may have.
fn broker(provider: &Provider, common: &Map<String, Value>, definitions: &mut Map<String, Value>) -> Value {
    let name = provider.name();
    let own = provider.settings_schema();
    let open = own.is_none();
    let mut all = common.clone();
    if let Some(schema) = own {
        all.extend(properties(schema, name, definitions));
    }
    // Which provider it is was decided before.
    all.remove("provider");
    let twin = |key: &String| {
        let place = format!("#/$defs/{name}/properties/{key}");
        (key.to_ascii_uppercase(), json!({ "$ref": place }))
    };
    let twins: Vec<_> = all.keys().map(twin).collect();
    all.extend(twins);
    all.insert("provider".to_owned(), Value::Bool(true));
    json!({ "type": "object", "additionalProperties": open, "properties": all })
}

/// The properties of a struct's schema; its definitions move to `definitions`, under names that begin with `owner`.
fn properties(mut schema: Value, owner: &str, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    rename_references(&mut schema, owner);
    if let Some(Value::Object(own)) = schema.get_mut("$defs").map(Value::take) {
        let renamed = own
            .into_iter()
            .map(|(name, schema)| (format!("{owner}.{name}"), schema));
        definitions.extend(renamed);
    }
    match schema.get_mut("properties").map(Value::take) {
        Some(Value::Object(properties)) => properties
            .into_iter()
            .map(|(name, schema)| (name, or_variable(schema)))
            .collect(),
        _ => Map::new(),
    }
}

fn rename_references(schema: &mut Value, owner: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "$ref" => {
                        *text = text.replace("#/$defs/", &format!("#/$defs/{owner}."));
                    }
                    value => rename_references(value, owner),
                }
            }
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| rename_references(value, owner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whatever a value is, it may be taken from a variable instead.
fn or_variable(mut schema: Value) -> Value {
    let bounded = ["enum", "format", "pattern"]
        .iter()
        .any(|bound| schema.get(bound).is_some());
    if schema.get("type") == Some(&"string".into()) && !bounded {
        return schema;
    }
    let mut outer = Map::new();
    if let Some(inner) = schema.as_object_mut() {
        for key in ["description", "default"] {
            outer.extend(inner.remove_entry(key));
        }
    }
    let variable = json!({ "type": "string", "pattern": "\\$\\{" });
    outer.insert("anyOf".to_owned(), json!([schema, variable]));
    outer.into()
}
