//! Patterns over stream names.

use std::fmt;

use super::{Error, ErrorKind, StreamName};

/// A stream name in which `*` stands for any run of characters but `.`: `user.*` matches `user.a`, not `user.a.b`.
///
/// ```
/// use broker::StreamPattern;
///
/// let pattern = StreamPattern::new("user.*")?;
/// assert!(pattern.matches("user.eu"));
/// assert!(!pattern.matches("user.eu.new"));
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamPattern(String);

impl StreamPattern {
    /// Checks `pattern` and keeps it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] where the rest besides `*` could not be part of a stream's name.
    pub fn new(pattern: impl Into<String>) -> Result<Self, Error> {
        let pattern = pattern.into();
        StreamName::new(pattern.replace('*', "x")).map_err(|error| {
            Error::new(
                ErrorKind::InvalidName,
                format!("pattern `{pattern}`: {}", error.message()),
            )
        })?;
        Ok(Self(pattern))
    }

    /// Whether `text` would be a pattern rather than a plain name.
    #[must_use]
    pub fn is_pattern(text: &str) -> bool {
        text.contains('*')
    }

    /// Whether `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Backtracks to the last star only: linear in practice, quadratic at worst, and never recursive.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((p + 1, n));
                p += 1;
            }
            (Some(expected), Some(byte)) if expected == byte => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, from)) if name.get(from).is_some_and(|byte| *byte != b'.') => {
                    star = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stops_at_a_dot() {
        let pattern = StreamPattern::new("user.*").unwrap();
        for (name, expected) in [
            ("user.a", true),
            ("user.", true),
            ("users.a", false),
            ("user.a.b", false),
            ("user", false),
        ] {
            assert_eq!(pattern.matches(name), expected, "{name}");
        }
        let middle = StreamPattern::new("*.order*.eu").unwrap();
        assert!(middle.matches("shop.orders.eu") && !middle.matches("shop.x.orders.eu"));
        assert!(StreamPattern::new("a b*").is_err());
    }
}
