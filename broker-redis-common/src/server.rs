//! What the server is and how it is set up.

use std::fmt;

/// The oldest server that has what the scripts use: `XPENDING … IDLE` and exclusive ranges.
const OLDEST: Version = Version(6, 2, 0);

/// A server's version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What `INFO` told about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `redis` or `valkey`.
    pub name: String,
    /// Its version; zeros where the server does not tell.
    pub version: Version,
    /// What it does when its memory is full, where memory is bounded.
    eviction: Option<String>,
    replica: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("unknown");
        }
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Server {
    /// Reads the text of `INFO`.
    #[must_use]
    pub fn parse(info: &str) -> Self {
        let field = |name: &str| {
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim())
        };
        let name = field("server_name").unwrap_or("redis").to_owned();
        let version = field("valkey_version").or_else(|| field("redis_version"));
        let bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
        Self {
            name,
            version: version.map(parse_version).unwrap_or_default(),
            eviction: field("maxmemory_policy").filter(|_| bounded).map(str::to_owned),
            replica: field("role") == Some("slave"),
        }
    }

    /// Whether it copies another server and takes no writes.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        self.replica
    }

    /// Why the server can't deliver reliably, if it can't.
    #[must_use]
    pub fn too_old(&self) -> Option<String> {
        // A user without the right to ask INFO gets the benefit of the doubt.
        let known = self.version != Version::default();
        (known && self.version < OLDEST && self.name == "redis").then(|| {
            format!(
                "the server is {} {}; {OLDEST} or newer is needed",
                self.name, self.version
            )
        })
    }

    /// What wants attention, in one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(policy) = self.eviction.as_deref().filter(|policy| *policy != "noeviction") {
            warnings.push(format!(
                "maxmemory-policy is {policy}: a full server may remove streams; set it to noeviction"
            ));
        }
        if self.replica {
            warnings.push("the server is a replica; connect to the primary".to_owned());
        }
        warnings.extend(self.too_old());
        warnings
    }
}

fn parse_version(text: &str) -> Version {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    Version(next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicting_server_is_warned_about() {
        let server = Server::parse(
            "redis_version:7.0.15\r\nrole:master\r\nmaxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n",
        );
        assert_eq!(server.version, Version(7, 0, 15));
        assert!(server.warnings().join("").contains("noeviction"));
        assert_eq!(server.too_old(), None);
    }

    #[test]
    fn an_old_server_is_told_with_the_reason() {
        let server = Server::parse("redis_version:6.0.16\r\nmaxmemory:0\r\n");
        assert!(server.too_old().unwrap().contains("6.0.16"));
        assert_eq!(Server::parse("").too_old(), None);
        let valkey = Server::parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n");
        assert_eq!(
            (valkey.name.as_str(), valkey.version),
            ("valkey", Version(8, 0, 1))
        );
    }
}
