//! `BROKER__NAME__KEY=value` variables.

use std::collections::BTreeMap;

use super::Settings;
use crate::values::{Error, Result};

const PREFIX: &str = "BROKER__";

/// Lays the variables named `BROKER__…` over `brokers`; a broker that is named only here is added.
pub(super) fn overlay(
    brokers: &mut BTreeMap<String, Settings>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<()> {
    let mut layers: BTreeMap<String, Settings> = BTreeMap::new();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = format!("environment: {variable}");
        let mut words = rest.split("__");
        let (name, key) = match (words.next(), words.next(), words.next()) {
            (Some(name), Some(key), None) if !name.is_empty() && !key.is_empty() => (name, key),
            _ => {
                return Err(Error::config(
                    origin,
                    "`BROKER__NAME__KEY` is expected, such as `BROKER__DEFAULT__URI`",
                ));
            }
        };
        let name = brokers
            .keys()
            .find(|known| as_variable(known) == as_variable(name))
            .map_or_else(|| name.to_ascii_lowercase(), Clone::clone);
        layers.entry(name).or_default().set_once(key, value, origin)?;
    }
    for (name, layer) in layers {
        brokers
            .entry(name)
            .or_insert_with_key(|name| Settings::new(format!("environment: brokers.{name}")))
            .overlay(layer)?;
    }
    Ok(())
}

/// A broker's name as a variable's name can hold it: most shells know neither case nor dashes there.
fn as_variable(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}
