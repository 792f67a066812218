//! Which server it is.

use std::fmt;

/// A server's product and version, as its program tells them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// Such as `redis` or `valkey`.
    pub product: String,
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl ServerVersion {
    /// Reads what `redis-server --version` prints: `Redis server v=7.0.15 sha=…`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let product = line.split_whitespace().next()?.to_lowercase();
        let numbers = line.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
        let mut numbers = numbers
            .split('.')
            .map(|number| number.parse::<u32>().unwrap_or_default());
        Some(Self {
            product,
            major: numbers.next()?,
            minor: numbers.next().unwrap_or_default(),
            patch: numbers.next().unwrap_or_default(),
        })
    }

    /// Whether it is at least this version.
    #[must_use]
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}.{}", self.product, self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_redis_and_of_valkey_is_understood() {
        let redis =
            ServerVersion::parse("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0").unwrap();
        assert_eq!(redis.to_string(), "redis 7.0.15");
        assert!(redis.at_least(6, 2) && redis.at_least(7, 0) && !redis.at_least(7, 1));
        let valkey = ServerVersion::parse("Valkey server v=8.1.0-rc1 sha=0").unwrap();
        assert_eq!(valkey.to_string(), "valkey 8.1.0");
        assert_eq!(ServerVersion::parse("sh: not found"), None);
    }
}
