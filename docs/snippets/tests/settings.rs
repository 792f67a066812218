//! Configurations of the book are read by the real loader, and its tables of settings are those of the structs.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::collections::BTreeSet;

use broker::Broker;
use broker::config::{BrokerConfig, Config};
use broker::registry::Registry;
use support::{Page, pages};
use toml::{Table, Value};

#[test]
fn every_configuration_opens() {
    let registry = Registry::linked().unwrap();
    let mut opened = 0;
    for page in pages() {
        for block in page.blocks(&["toml"]) {
            let place = page.place(&block);
            let table: Table = block
                .text
                .parse()
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            for kind in ["dependencies", "dev-dependencies"] {
                if let Some(dependencies) = table.get(kind) {
                    check_features(&place, dependencies);
                }
            }
            if !table.contains_key("brokers") {
                continue;
            }
            let config = Config::parse(&block.text, &place, &|name| Some(sample(name)))
                .unwrap_or_else(|error| panic!("{error}"));
            for (name, settings) in config.iter() {
                let mut settings = settings.clone();
                if settings.text("provider").is_none() {
                    // A provider's page may leave out which one it is about.
                    let page = page.name.trim_start_matches("providers/").trim_end_matches(".md");
                    settings.set("provider", page.replace('-', "_"), None);
                }
                let provider = settings.text("provider").unwrap_or_default();
                // What takes a feature to link is looked at where that is on.
                let linked = registry
                    .iter()
                    .any(|known| known.names().any(|name| name == provider));
                let absent = !linked && ["kafka", "rabbitmq"].contains(&provider);
                // The adapter of the chapter on adapters is a crate outside the workspace, and has a test of its own.
                let foreign = provider == "dir";
                if !absent && !foreign {
                    Broker::from_settings(name, settings, &registry)
                        .unwrap_or_else(|error| panic!("{error}"));
                    opened += 1;
                }
            }
        }
    }
    assert!(opened > 10, "{opened} brokers were opened");
}

/// What a variable without a default holds.
fn sample(name: &str) -> String {
    if name.ends_with("URL") {
        "redis://localhost:6379/0"
    } else {
        "sample"
    }
    .to_owned()
}

/// Features that a reader is told to choose are features of the facade.
fn check_features(place: &str, dependencies: &Value) {
    let own: Table = include_str!("../../../broker/Cargo.toml").parse().unwrap();
    let chosen = dependencies
        .get("broker")
        .and_then(|broker| broker.get("features"))
        .and_then(|features| features.as_array());
    for feature in chosen.into_iter().flatten() {
        let known = own["features"].get(feature.as_str().unwrap());
        assert!(known.is_some(), "{place}: the facade has no feature {feature:?}");
    }
}

#[test]
fn every_setting_has_its_row_and_every_row_its_setting() {
    let pages = pages();
    let page = |name: &str| pages.iter().find(|page| page.name == name).unwrap();
    let common = names(&schemars::schema_for!(BrokerConfig).to_value());
    compare(page("configuration.md"), &common, &common);
    for provider in Registry::linked().unwrap().iter() {
        let name = format!("providers/{}.md", provider.name().replace('_', "-"));
        let own = names(&provider.settings_schema().unwrap());
        compare(page(&name), &own, &common);
    }
}

fn names(schema: &serde_json::Value) -> BTreeSet<String> {
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// A provider's page may tell of common settings where they matter most.
fn compare(page: &Page, settings: &BTreeSet<String>, common: &BTreeSet<String>) {
    let rows: BTreeSet<_> = rows(&page.text).collect();
    let missing: Vec<_> = settings.difference(&rows).collect();
    let unknown: Vec<_> = rows
        .iter()
        .filter(|row| !settings.contains(*row) && !common.contains(*row))
        .collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/src/{}: without a row: {missing:?}; without a setting: {unknown:?}",
        page.name
    );
}

/// The names in the first column of tables that are headed `setting`.
fn rows(text: &str) -> impl Iterator<Item = String> {
    let mut names = Vec::new();
    let mut within = false;
    for line in text.lines() {
        match line.strip_prefix('|') {
            None => within = false,
            Some(row) => {
                let cell = row.split('|').next().unwrap_or_default().trim();
                within |= cell == "setting";
                if within {
                    names.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
                }
            }
        }
    }
    names.into_iter()
}

#[test]
fn every_json_is_json() {
    for page in pages() {
        for block in page.blocks(&["json"]) {
            let read: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
            assert!(read.is_ok(), "{}: {read:?}", page.place(&block));
        }
    }
}
