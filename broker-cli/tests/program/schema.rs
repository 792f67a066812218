//! `config schema`.

use serde_json::Value;

use crate::support::{broker, code, output};

#[test]
fn the_schema_knows_every_setting_in_both_spellings_and_refers_to_what_is_there() {
    let answer = broker(&["config", "schema"]);
    assert_eq!(code(&answer), 0);
    let schema: Value = serde_json::from_str(output(&answer)).unwrap();
    let inline = &schema["$defs"]["inline"];
    assert_eq!(inline["additionalProperties"], false);
    for key in [
        "uri",
        "URI",
        "max_retries",
        "MAX_RETRIES",
        "message_timeout",
        "require",
        "partitions",
        "shared",
    ] {
        assert!(!inline["properties"][key].is_null(), "{key} is missing");
    }
    let names = &schema["properties"]["brokers"]["additionalProperties"]["properties"]["provider"]["enum"];
    let names: Vec<_> = names
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    for provider in ["inline", "redis", "redis_pubsub"] {
        assert!(names.contains(&provider), "{provider} is missing: {names:?}");
    }
    let flags = schema["$defs"]["common.Capabilities"].to_string();
    assert!(
        flags.contains("\"RELIABLE_MESSAGING\"") && flags.contains("\"REPLAY\""),
        "{flags}"
    );
    let mut references = Vec::new();
    collect_references(&schema, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        assert!(
            schema.pointer(reference.trim_start_matches('#')).is_some(),
            "{reference} leads nowhere"
        );
    }
}

#[test]
fn the_reference_has_each_setting_once_with_type_default_and_meaning() {
    let answer = broker(&["config", "reference"]);
    assert_eq!(code(&answer), 0);
    let page = output(&answer);
    let (common, own) = page.split_once("\n## Provider `inline`").unwrap();
    assert!(
        common.contains("\n| `message_timeout` | duration | `5m` | The lease: how long"),
        "{common}"
    );
    assert!(
        !own.contains("| `message_timeout` |"),
        "what all have stands above alone"
    );
    for row in [
        "| `when_full` | one of these words | `wait` | What publishing does",
        "| `mode` | one of these words | `list` | What a stream is made of",
        "| `sentinel` | text, or table | – | ",
        "| `sentinel.master` | text | – | ",
        "| `retention_age` | duration | – | ",
    ] {
        assert!(own.contains(row), "{row} is missing in {own}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        assert!(cells.len() >= 4 && cells[3].len() > 5, "no meaning: {row}");
        assert!(!row.contains("]("), "a link of the code: {row}");
    }
}

fn collect_references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
