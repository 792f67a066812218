//! Bad input is one clear line that names what is wrong, where, and the cure; and nothing is half done.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod calls;
mod code;
mod files;
mod sources;
#[path = "../support/mod.rs"]
mod support;

use broker_core::broker::Brokers;
use broker_core::config::Config;
use broker_core::registry::Registry;
use broker_core::{Error, Result};
use support::PROVIDER;

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add(&PROVIDER).unwrap();
    registry
}

/// Opens what a file named `f.toml` and variables describe; `${NAME}` finds only `PASSWORD`.
fn opened(text: &str, variables: &[(&str, &str)]) -> Result<Brokers> {
    let lookup = |name: &str| (name == "PASSWORD").then(|| "hunter2".to_owned());
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::parse(text, "f.toml", &lookup)?.with_environment(variables)?;
    Brokers::open_from(&config, &registry())
}

/// The error's line.
fn line<T>(answer: Result<T, Error>) -> String {
    answer
        .err()
        .map_or_else(|| panic!("it was accepted"), |error| error.to_string())
}

/// A configuration error's line; one that the provider itself found begins with its name.
fn at(place: &str, line: &str) -> String {
    match line.strip_prefix("script: ") {
        Some(line) => format!("script: config: {place}{line}"),
        None => format!("config: {place}{line}"),
    }
}
