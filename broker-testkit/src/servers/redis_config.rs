//! How a private Redis server is to be.

use std::fmt::Write as _;
use std::path::Path;

use broker_core::Result;

use super::{Certificates, RedisServer};

/// How a private Redis server is to be; without further words one without persistence, password and TLS.
#[derive(Clone, Debug, Default)]
pub struct RedisConfig {
    pub(super) append_only: bool,
    pub(super) synced: bool,
    pub(super) password: Option<String>,
    pub(super) users: Vec<(String, String, String)>,
    pub(super) tls: bool,
    pub(super) proxied: bool,
    /// Those of another server, which this one trusts and is trusted by.
    pub(super) certificates: Option<Certificates>,
    pub(super) lines: Vec<String>,
}

impl RedisConfig {
    /// A server without persistence, password and TLS.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps every write on disk before it is answered: nothing answered is lost by a kill.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        (self.append_only, self.synced) = (true, true);
        self
    }

    /// Writes to disk what was answered about a second ago: nothing is lost by a stop in good order.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Sets the password of the default user.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Adds a user with a password and its rights as Redis writes them, such as `~* &* +@all`.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, rights: &str) -> Self {
        self.users
            .push((name.to_owned(), password.to_owned(), rights.to_owned()));
        self
    }

    /// Talks TLS only, and asks clients for a certificate of the run's own authority.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Puts a proxy before the server, so that checks can disturb the network.
    ///
    /// Not for those of a cluster or a watched pair, which tell each other's own ports.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Talks TLS with these certificates, which must outlive the server.
    pub(super) fn certified(mut self, certificates: Certificates) -> Self {
        (self.tls, self.certificates) = (true, Some(certificates));
        self
    }

    /// Adds a line of Redis' own configuration.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the server, and returns once it answers.
    ///
    /// # Errors
    ///
    /// Where the program is missing, with what to install, or does not come up, with the last line of its log.
    pub fn start(self) -> Result<RedisServer> {
        RedisServer::start(self)
    }

    /// The text of the configuration file.
    pub(super) fn text(&self, port: u16, folder: &Path, admin: &str, tls: Option<&Certificates>) -> String {
        let mut text = format!(
            "bind 127.0.0.1\ndir {folder}\nunixsocket {folder}/redis.sock\nuser admin on >{admin} ~* &* +@all\n\
             save \"\"\ndaemonize no\n",
            folder = folder.display()
        );
        // Writing to a string does not fail.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        match tls {
            None => line(format!("port {port}")),
            Some(tls) => {
                line(format!("port 0\ntls-port {port}"));
                line(format!("tls-ca-cert-file {}", tls.ca.display()));
                line(format!("tls-cert-file {}", tls.server.display()));
                line(format!("tls-key-file {}", tls.server_key.display()));
                // As whom it connects to other servers.
                line(format!("tls-client-cert-file {}", tls.client.display()));
                line(format!("tls-client-key-file {}", tls.client_key.display()));
            }
        }
        if self.append_only {
            let sync = if self.synced { "always" } else { "everysec" };
            line(format!("appendonly yes\nappendfsync {sync}"));
        }
        if let Some(password) = &self.password {
            line(format!("requirepass {password}"));
        }
        for (name, password, rights) in &self.users {
            line(format!("user {name} on >{password} {rights}"));
        }
        for extra in &self.lines {
            line(extra.clone());
        }
        text
    }
}
