//! The reference of the configuration, from the schema that its structs make.

use std::fmt::Write as _;

use broker_core::config::Config;
use broker_core::registry::{Provider, Registry};
use serde_json::{Map, Value};

/// What stands above the tables.
const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `broker config reference` from the structs that read the settings; scripts/test fails where it is stale. -->

A broker is a table `[brokers.NAME]` of `broker.toml`, with the name of its `provider`. The same settings come from variables
(`BROKER__NAME__KEY`), from a URL's query, and from code; in the file each key may be written in upper case too, and each value may
be taken from a variable: `\"${VARIABLE|otherwise}\"`. A duration has its unit: `250ms`, `30s`, `5m`. A key that is not known is an
error that names the nearest one.

A dash as default means that the setting is not set.
";

/// The page: what all brokers have, then what each provider adds.
pub(super) fn page(registry: &Registry) -> String {
    let schema = Config::schema(registry);
    let none = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&none);
    let of = |name: &str| {
        let properties = definitions
            .get(name)
            .and_then(|definition| definition["properties"].as_object());
        properties.unwrap_or(&none)
    };
    let common = of("common");
    let mut page = INTRODUCTION.to_owned();
    let _ = write!(
        page,
        "\n## Every broker\n\n{}",
        Tables { definitions }.of(common.iter())
    );
    for provider in registry.iter() {
        let own = of(provider.name())
            .iter()
            .filter(|(key, setting)| common.get(*key) != Some(setting) && is_setting(key));
        let _ = write!(
            page,
            "\n## {}\n\n{}",
            heading(provider),
            Tables { definitions }.of(own)
        );
    }
    page
}

/// The upper-case twins say nothing of their own, and the provider was named before.
fn is_setting(key: &str) -> bool {
    key != "provider" && !key.chars().any(|letter| letter.is_ascii_uppercase())
}

fn heading(provider: &Provider) -> String {
    let schemes = provider.names().filter(|name| *name != provider.name());
    let urls: Vec<_> = schemes.map(|scheme| format!("`{scheme}://`")).collect();
    match urls.as_slice() {
        [] => format!("Provider `{}`", provider.name()),
        urls => format!("Provider `{}`, in URLs {}", provider.name(), urls.join(", ")),
    }
}

struct Tables<'a> {
    definitions: &'a Map<String, Value>,
}

impl Tables<'_> {
    fn of<'s>(&self, settings: impl Iterator<Item = (&'s String, &'s Value)>) -> String {
        let mut table = "| setting | type | default | meaning |\n|---|---|---|---|\n".to_owned();
        for (key, setting) in settings {
            self.row(&mut table, key, setting);
        }
        table
    }

    fn row(&self, table: &mut String, key: &str, setting: &Value) {
        let default = match &setting["default"] {
            Value::Null => "–".to_owned(),
            Value::Array(none) if none.is_empty() => "none".to_owned(),
            Value::Object(none) if none.is_empty() => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            value => format!("`{value}`"),
        };
        let value = self.value(setting);
        let mut meaning = text_of(setting);
        for choice in value["oneOf"].as_array().into_iter().flatten() {
            let (word, says) = (choice["const"].as_str().unwrap_or_default(), text_of(choice));
            let _ = write!(meaning, "<br>`{word}`: {says}");
        }
        let _ = writeln!(
            table,
            "| `{key}` | {} | {default} | {} |",
            self.kind(value),
            meaning.replace('|', "\\|")
        );
        // A setting that may be a table has settings of its own.
        for (inner, setting) in self.inner(value) {
            self.row(table, &format!("{key}.{inner}"), setting);
        }
    }

    /// What a value may be, past references, the variable in its place, and that it may be absent.
    fn value<'s>(&'s self, schema: &'s Value) -> &'s Value {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches("#/$defs/");
            return self
                .definitions
                .get(name)
                .map_or(schema, |schema| self.value(schema));
        }
        let mut choices = schema["anyOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|choice| choice["pattern"] != "\\$\\{" && choice["type"] != "null");
        match (choices.next(), choices.next()) {
            (Some(only), None) => self.value(only),
            _ => schema,
        }
    }

    fn inner<'s>(&'s self, value: &'s Value) -> Vec<(&'s String, &'s Value)> {
        let choices = value["anyOf"].as_array().into_iter().flatten();
        let tables = choices.map(|choice| self.value(choice)).chain([value]);
        tables
            .filter_map(|table| table["properties"].as_object())
            .flatten()
            .collect()
    }

    fn kind(&self, value: &Value) -> String {
        if value["oneOf"].is_array() || value["enum"].is_array() {
            return "one of these words".to_owned();
        }
        if let Some(choices) = value["anyOf"].as_array() {
            let mut kinds: Vec<_> = choices
                .iter()
                .map(|choice| self.kind(self.value(choice)))
                .collect();
            kinds.dedup();
            return kinds.join(", or ");
        }
        let kind = match &value["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").unwrap_or(&Value::Null),
            kind => kind,
        };
        let pattern = value["pattern"].as_str().unwrap_or_default();
        match kind.as_str().unwrap_or_default() {
            "string" if pattern.contains("\\d") => "duration".to_owned(),
            "string" if pattern.contains("://") => "URL".to_owned(),
            "string" => "text".to_owned(),
            "array" => format!("list of {}", self.kind(self.value(&value["items"]))),
            "object" => "table".to_owned(),
            "integer" => "whole number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            kind => kind.to_owned(),
        }
    }
}

/// The description in one line. A link into the code's documentation leads nowhere from a page: its text stays.
fn text_of(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    let mut text = description.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some((before, rest)) = text.split_once("](") {
        let (Some((lead, shown)), Some((_, after))) = (before.rsplit_once('['), rest.split_once(')')) else {
            break;
        };
        text = format!("{lead}{shown}{after}");
    }
    text
}
