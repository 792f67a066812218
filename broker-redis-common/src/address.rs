//! Where a server is.

use std::fmt;
use std::path::PathBuf;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl Address {
    /// Another server of the same cluster; one without a name is on the same host.
    pub(crate) fn sibling(&self, other: &str, port: u16) -> Self {
        let (own, tls) = match self {
            Self::Tcp { host, tls, .. } => (host.as_str(), *tls),
            Self::Unix(_) => ("localhost", false),
        };
        let host = if other.is_empty() { own } else { other };
        Self::Tcp {
            host: host.to_owned(),
            port,
            tls,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
