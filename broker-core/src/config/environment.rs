//! `BROKER__NAME__KEY=value` variables.

use std::collections::BTreeMap;

use toml::Value;

use super::Settings;
use crate::values::{Error, Result};

const PREFIX: &str = "BROKER__";

/// Lays the variables named `BROKER__…` over `brokers`; a broker that is named only here is added.
pub(super) fn overlay(
    brokers: &mut BTreeMap<String, Settings>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<()> {
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = format!("environment: {variable}");
        let mut words = rest.split("__");
        let (Some(name), Some(key), None) = (words.next(), words.next(), words.next()) else {
            return Err(Error::config(
                origin,
                "`BROKER__NAME__KEY` is expected, such as `BROKER__DEFAULT__URI`",
            ));
        };
        if name.is_empty() || key.is_empty() {
            return Err(Error::config(
                origin,
                "`BROKER__NAME__KEY` is expected, such as `BROKER__DEFAULT__URI`",
            ));
        }
        let name = name.to_ascii_lowercase();
        let settings = brokers
            .entry(name.clone())
            .or_insert_with(|| Settings::new(format!("environment: brokers.{name}")));
        settings.set(key, Value::String(value), Some(origin));
    }
    Ok(())
}
