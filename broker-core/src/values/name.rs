//! Names that are valid because they exist.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Error, ErrorKind};

/// The longest name, in bytes: Kafka's limit for a topic (249) less room for the suffixes adapters add.
const MAX_LEN: usize = 200;

fn check(what: &'static str, name: &str) -> Result<(), Error> {
    let refuse = |why: String| {
        Err(Error::new(
            ErrorKind::InvalidName,
            format!("{what} name `{}` {why}", name.escape_default()),
        ))
    };
    if name.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidName,
            format!("{what} name is empty; give it at least one character"),
        ));
    }
    if name.len() > MAX_LEN {
        return Err(Error::new(
            ErrorKind::InvalidName,
            format!(
                "{what} name has {} bytes; at most {MAX_LEN} are allowed, shorten it",
                name.len()
            ),
        ));
    }
    if let Some(odd) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "._-:".contains(*c)))
    {
        return refuse(format!(
            "has the character {odd:?}; letters, digits and `. _ - :` are allowed"
        ));
    }
    if name == "." || name == ".." {
        return refuse("is a folder's name; choose another".to_owned());
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// One to 200 bytes of ASCII letters, digits and `. _ - :`. Cloning is a reference count.
        ///
        /// ```
        #[doc = concat!("use broker::", stringify!($type), ";")]
        ///
        #[doc = concat!("assert_eq!(", stringify!($type), "::new(\"north.1\")?.as_str(), \"north.1\");")]
        #[doc = concat!("assert!(", stringify!($type), "::new(\"north/1\").is_err());")]
        /// # Ok::<(), broker::Error>(())
        /// ```
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `name` and keeps it.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::InvalidName`] with what is wrong and what is allowed.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
                let name = name.as_ref();
                check($what, name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $type {
            type Error = Error;
            fn try_from(name: &str) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl TryFrom<&String> for $type {
            type Error = Error;
            fn try_from(name: &String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(name: String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl From<&$type> for $type {
            fn from(name: &$type) -> Self {
                name.clone()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                Self::new(name).map_err(|error| serde::de::Error::custom(error.message()))
            }
        }
    };
}

name!(
    /// The named place that messages are published to.
    StreamName,
    "stream"
);
name!(
    /// The consumers that share one stream's messages.
    GroupName,
    "group"
);
name!(
    /// One member of a group, stable over restarts.
    ConsumerName,
    "consumer"
);
name!(
    /// The place that transactions are committed from; one process at a time has it.
    TransactorName,
    "transactor"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_a_name_or_a_clear_line(text in any::<String>()) {
            match StreamName::new(&text) {
                Ok(name) => prop_assert_eq!(name.as_str(), text),
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }

        #[test]
        fn what_is_allowed_round_trips(text in "[A-Za-z0-9_:-]{1,200}") {
            prop_assert_eq!(GroupName::new(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_rule_has_its_line() {
        let line = |name: &str| StreamName::new(name).unwrap_err().to_string();
        assert_eq!(
            line(""),
            "invalid name: stream name is empty; give it at least one character"
        );
        assert_eq!(
            line("a b"),
            "invalid name: stream name `a b` has the character ' '; letters, digits and `. _ - :` are allowed"
        );
        assert_eq!(
            line(".."),
            "invalid name: stream name `..` is a folder's name; choose another"
        );
        assert_eq!(
            line(&"x".repeat(201)),
            "invalid name: stream name has 201 bytes; at most 200 are allowed, shorten it"
        );
    }
}
