//! Addresses such as `redis://user:password@host:6379/0?message_timeout=30s`.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};

use crate::values::Secret;

/// A broker's address: scheme, credentials, one or several hosts, path. Its query became settings before.
///
/// Several hosts, as Kafka and Redis Cluster have, are separated by commas, which general URL parsers refuse.
/// Debug and Display leave the password out.
///
/// ```
/// use broker::config::BrokerUrl;
///
/// let url = BrokerUrl::parse("kafka://app:hunter2@one:9092,two:9092").unwrap();
/// assert_eq!((url.scheme(), url.username()), ("kafka", Some("app")));
/// assert_eq!(url.hosts()[1], ("two".to_owned(), Some(9092)));
/// assert!(!url.to_string().contains("hunter2"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    scheme: String,
    username: Option<String>,
    password: Option<Secret>,
    hosts: Vec<(String, Option<u16>)>,
    path: String,
    text: Secret,
}

impl BrokerUrl {
    /// Takes `text` apart.
    ///
    /// # Errors
    ///
    /// One line that says which part is wrong; it never repeats the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(
                "not a URL; `scheme://host` is expected, such as `redis://localhost:6379`".to_owned(),
            );
        };
        let proper = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-._".contains(c));
        if !proper {
            return Err(
                "the scheme is none; lower-case letters, digits and `+ - . _` are expected before `://`"
                    .to_owned(),
            );
        }
        check_credentials(rest)?;
        let rest = rest.split('?').next().unwrap_or_default();
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (userinfo, hosts) = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        let (username, password) =
            match userinfo.map(|userinfo| userinfo.split_once(':').unwrap_or((userinfo, ""))) {
                None => (None, None),
                Some((username, password)) => (
                    Some(decode(username, "user name")?).filter(|name| !name.is_empty()),
                    Some(decode(password, "password")?)
                        .filter(|password| !password.is_empty())
                        .map(Secret::new),
                ),
            };
        let hosts = match hosts {
            "" => Vec::new(),
            hosts => hosts.split(',').map(host_and_port).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            username,
            password,
            hosts,
            path: decode(path, "path")?,
            text: Secret::new(text),
        })
    }

    /// What stands before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user's name, decoded.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password, decoded.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// Hosts with their ports, in order; empty where the URL has none.
    #[must_use]
    pub fn hosts(&self) -> &[(String, Option<u16>)] {
        &self.hosts
    }

    /// The path, decoded, with its leading `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text, password included, for handing it to a client library.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

/// Reads the escapes of one part, which errors call `what`; they never repeat it, as it may be part of a password.
fn decode(text: &str, what: &str) -> Result<String, String> {
    check_escapes(text, what)?;
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| format!("its {what} is not UTF-8 once the `%` escapes are read; escape it again"))
}

/// Refuses what would take part of a password for a path or a query, and show it.
pub(super) fn check_credentials(text: &str) -> Result<(), String> {
    if text.contains('#') {
        return Err("a `#` means nothing in it; write it as `%23`".to_owned());
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let after = rest.find(['/', '?']).and_then(|at| rest.get(at..));
    if after.is_some_and(|after| after.contains('@')) {
        return Err(
            "an `@` stands behind the host; write it as `%40`, or escape `/` and `?` of a password as `%2F` and `%3F`"
                .to_owned(),
        );
    }
    Ok(())
}

/// Refuses a `%` without two hexadecimal digits, which other parsers take for itself.
pub(super) fn check_escapes(text: &str, what: &str) -> Result<(), String> {
    let escapes = text.split('%').skip(1);
    for escape in escapes {
        let mut digits = escape.chars();
        let hexadecimal = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit());
        if !(hexadecimal(digits.next()) && hexadecimal(digits.next())) {
            return Err(format!(
                "its {what} has a `%` that begins no escape; write it as `%25`"
            ));
        }
    }
    Ok(())
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, rest)) => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => {
                    return Err(
                        "what follows the `]` of an IPv6 host is no port; write `[::1]:6379`".to_owned(),
                    );
                }
            },
            None => return Err("an IPv6 host has no closing `]`; write `[::1]:6379`".to_owned()),
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("a host is empty; write `scheme://host:port`".to_owned());
    }
    let port = port
        .map(|port| {
            port.parse().map_err(|_| {
                "a port is not a number up to 65535; mend it, or escape `/ : @ ?` of a password as `%2F %3A %40 %3F`"
                    .to_owned()
            })
        })
        .transpose()?;
    Ok((decode(host, "host")?, port))
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match (&self.username, &self.password) {
            (Some(username), Some(_)) => write!(f, "{username}:***@")?,
            (None, Some(_)) => f.write_str(":***@")?,
            // What stands alone may be a token.
            (Some(_), None) => f.write_str("***@")?,
            (None, None) => {}
        }
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if host.contains(':') {
                write!(f, "{comma}[{host}]")?;
            } else {
                write!(f, "{comma}{host}")?;
            }
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        f.write_str(&self.path)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

impl std::str::FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for BrokerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for BrokerUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BrokerUrl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9+._-]*://" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_alone_before_the_host_may_be_a_token() {
        let url = BrokerUrl::parse("nats://token@h").unwrap();
        assert_eq!(
            (url.username(), url.to_string().as_str()),
            (Some("token"), "nats://***@h")
        );
    }

    #[test]
    fn every_part_is_found() {
        let url = BrokerUrl::parse("rediss://bob:p%40ss@h1:6379,[::1]:7000/2?x=1").unwrap();
        assert_eq!(url.scheme(), "rediss");
        assert_eq!(url.username(), Some("bob"));
        assert_eq!(url.password().unwrap().expose(), "p@ss");
        assert_eq!(
            url.hosts(),
            [("h1".to_owned(), Some(6379)), ("::1".to_owned(), Some(7000))]
        );
        assert_eq!(url.path(), "/2");
        assert_eq!(
            format!("{url:?}"),
            "BrokerUrl(rediss://bob:***@h1:6379,[::1]:7000/2)"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_error_repeats_it(text in r"[a-z]{0,3}:?/{0,2}[\s\S]*") {
            match BrokerUrl::parse(&text) {
                Ok(url) => drop(format!("{url} {url:?}")),
                Err(line) => prop_assert!(!line.contains('\n')),
            }
        }

        #[test]
        fn the_password_never_shows(password in "[A-Za-z0-9]{12,20}") {
            let url = BrokerUrl::parse(&format!("redis://u:{password}@localhost/0")).unwrap();
            let shown = format!("{url} {url:?}");
            prop_assert!(!shown.contains(&password));
        }

        #[test]
        fn nor_does_one_that_was_not_escaped(password in "[/:@?#%A-Z0-9]{0,9}SECRET[/:@?#%A-Z0-9]{0,9}") {
            let text = format!("redis://u:{password}@localhost/0");
            let shown = match BrokerUrl::parse(&text) {
                Ok(url) => format!("{url} {url:?}"),
                Err(line) => line,
            };
            prop_assert!(!shown.contains("SECRET"), "{}", shown);
        }

        #[test]
        fn what_is_shown_reads_back(host in "[a-z]{1,9}", port: u16, path in "(/[a-z]{1,5}){0,3}") {
            let text = format!("kafka://{host}:{port}{path}");
            let url = BrokerUrl::parse(&text).unwrap();
            prop_assert_eq!(url.to_string(), text);
        }
    }
}
