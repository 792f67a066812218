//! Where settings came from that were not written at the settings' own place.

/// The origins of a few keys: a list, since there is seldom more than a handful.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(Vec<(String, String)>);

impl Origins {
    /// Where `key` came from, if that is known.
    pub(super) fn get(&self, key: &str) -> Option<&String> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, origin)| origin)
    }

    /// Remembers where `key` came from; without an origin, that it was written at the settings' own place.
    pub(super) fn set(&mut self, key: &str, origin: Option<String>) {
        self.remove(key);
        self.0.extend(origin.map(|origin| (key.to_owned(), origin)));
    }

    /// Takes out where `key` came from.
    pub(super) fn remove(&mut self, key: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.swap_remove(place).1)
    }
}
