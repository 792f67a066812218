//! The JSON Schema of the configuration file.

use broker::config::BrokerConfig;
use broker::registry::{Provider, Registry};
use serde_json::{Map, Value, json};

/// The schema of a file for the providers of `registry`: an entry has the common settings, and beside them those of the
/// provider that it names.
pub(crate) fn of(registry: &Registry) -> Value {
    let mut definitions = Map::new();
    let common = properties(
        schemars::schema_for!(BrokerConfig).to_value(),
        "common",
        &mut definitions,
    );
    let (mut names, mut choices) = (Vec::new(), Vec::new());
    for provider in registry.iter() {
        let known: Vec<_> = provider.names().collect();
        let entry = entry(provider, &common, &mut definitions);
        definitions.insert(provider.name().to_owned(), entry);
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
                        "provider": { "description": "The provider's name, or its URL scheme.", "enum": names },
                    },
                    "allOf": choices,
                },
            },
        },
        "$defs": definitions,
    })
}

/// The settings of one provider's brokers. One that describes none of its own may have any.
fn entry(provider: &Provider, common: &Map<String, Value>, definitions: &mut Map<String, Value>) -> Value {
    let name = provider.name();
    let described = provider.settings_schema();
    let open = described.is_none();
    let mut all = common.clone();
    if let Some(schema) = described {
        all.extend(properties(schema, name, definitions));
    }
    // Which provider it is was decided before.
    all.remove("provider");
    let twins: Vec<_> = all
        .keys()
        .map(|key| {
            (
                key.to_ascii_uppercase(),
                json!({ "$ref": format!("#/$defs/{name}/properties/{key}") }),
            )
        })
        .collect();
    all.extend(twins);
    all.insert("provider".to_owned(), Value::Bool(true));
    json!({ "type": "object", "additionalProperties": open, "properties": all })
}

/// The properties of a struct's schema; its definitions move to `definitions`, under names that begin with `owner`.
fn properties(mut schema: Value, owner: &str, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    rename_references(&mut schema, owner);
    if let Some(Value::Object(own)) = schema.get_mut("$defs").map(Value::take) {
        definitions.extend(
            own.into_iter()
                .map(|(name, schema)| (format!("{owner}.{name}"), schema)),
        );
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else {
        return Map::new();
    };
    properties
        .into_iter()
        .map(|(name, schema)| (name, or_variable(schema)))
        .collect()
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
        _ => {}
    }
}

/// Whatever a value is, it may be taken from a variable instead: `"${NAME}"`.
fn or_variable(schema: Value) -> Value {
    let free_text = schema.get("type") == Some(&"string".into())
        && ["enum", "format", "pattern"]
            .iter()
            .all(|limit| schema.get(limit).is_none());
    if free_text {
        return schema;
    }
    let mut outer = Map::new();
    for key in ["description", "default"] {
        if let Some(value) = schema.get(key) {
            outer.insert(key.to_owned(), value.clone());
        }
    }
    outer.insert(
        "anyOf".to_owned(),
        json!([schema, { "type": "string", "pattern": "\\$\\{" }]),
    );
    outer.into()
}
