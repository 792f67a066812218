//! What the provider can do, and what an instance is lowered to.

use broker_core::{Capabilities, LostCapability};
use serde::{Deserialize, Deserializer};

/// All that the provider can do.
pub(crate) const FULL: Capabilities = Capabilities::ENTERPRISE_STREAMING
    .union(Capabilities::PATTERN_SUBSCRIPTION)
    .union(Capabilities::DELAYED_DELIVERY)
    .union(Capabilities::IDEMPOTENT_PUBLISH)
    .union(Capabilities::RETENTION)
    .union(Capabilities::LEASE_EXTENSION);

/// The capabilities that an instance is lowered to, to imitate a weaker broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claims(Capabilities);

impl Claims {
    /// Reads flags and tiers to keep (`RELIABLE_MESSAGING, REPLAY`), or flags to take away (`-REPLAY`).
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words = text
            .split([',', '|', '+'])
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let takes_away = words.clone().all(|word| word.starts_with('-'));
        let claims = if takes_away {
            let mut left = FULL;
            for word in words {
                let flags: Capabilities = word
                    .trim_start_matches('-')
                    .trim()
                    .parse()
                    .map_err(|error| format!("{error}"))?;
                left = left.without(flags);
            }
            left
        } else {
            text.parse().map_err(|error| format!("{error}"))?
        };
        Self::new(claims)
    }

    /// Keeps only `capabilities`.
    pub(crate) fn new(capabilities: Capabilities) -> Result<Self, String> {
        let beyond = capabilities - FULL;
        if !beyond.is_empty() {
            return Err(format!("the inline broker can't do {beyond}; it can do {FULL}"));
        }
        if let Some((flag, needed)) = capabilities.broken_implication() {
            return Err(format!(
                "{flag} needs {needed}, which is not kept; keep both or neither"
            ));
        }
        Ok(Self(capabilities))
    }

    pub(crate) fn capabilities(self) -> Capabilities {
        self.0
    }

    /// What was taken away, flag by flag.
    pub(crate) fn lost(self) -> Vec<LostCapability> {
        let lost = FULL - self.0;
        lost.flags()
            .map(|capability| LostCapability {
                capability,
                reason: "the setting `capabilities` leaves it out".to_owned(),
            })
            .collect()
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self(FULL)
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> serde::de::Visitor<'de> for Names {
            type Value = Claims;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "capabilities to keep, such as `RELIABLE_MESSAGING`, or to take away, such as `-REPLAY`",
                )
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Claims, E> {
                Claims::parse(text).map_err(E::custom)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Claims, A::Error> {
                let mut words = Vec::new();
                while let Some(name) = names.next_element::<String>()? {
                    words.push(name);
                }
                Claims::parse(&words.join(",")).map_err(serde::de::Error::custom)
            }
        }
        deserializer.deserialize_any(Names)
    }
}
