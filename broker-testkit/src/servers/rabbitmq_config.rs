//! How a private RabbitMQ server is to be.

use std::fmt::Write as _;
use std::path::Path;

use broker_core::Result;
use serde_json::json;

use super::{Certificates, RabbitMqServer};

/// How a private RabbitMQ server is to be; without further words one with the user `guest`, the virtual host `/` and
/// no TLS.
#[derive(Clone, Debug, Default)]
pub struct RabbitMqConfig {
    users: Vec<(String, String)>,
    vhosts: Vec<String>,
    rights: Vec<Rights>,
    pub(super) tls: bool,
    pub(super) proxied: bool,
    lines: Vec<String>,
}

/// What one user may do in one virtual host, as patterns over the names of exchanges and queues.
#[derive(Clone, Debug)]
struct Rights {
    user: String,
    vhost: String,
    configure: String,
    write: String,
    read: String,
}

/// Where a server listens on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// For clients.
    pub(super) client: u16,
    /// For the test's own tools: no TLS.
    pub(super) admin: u16,
    /// For the tools that come with Erlang.
    pub(super) distribution: u16,
    /// Where Erlang's own name service listens.
    pub(super) names: u16,
}

impl RabbitMqConfig {
    /// A server with the user `guest`, whose password is `guest`, and the virtual host `/`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, who may do all in every virtual host that [`rights`](Self::rights) says nothing else of; then
    /// `guest` is none.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Adds a virtual host; then `/` is there as well, and clients are told the first that was added.
    #[must_use]
    pub fn vhost(mut self, name: &str) -> Self {
        self.vhosts.push(name.to_owned());
        self
    }

    /// Bounds what a user may configure, write and read in a virtual host, as patterns over the names of exchanges and
    /// queues. An empty pattern is nothing; three of them are still the right to log in.
    #[must_use]
    pub fn rights(mut self, user: &str, vhost: &str, [configure, write, read]: [&str; 3]) -> Self {
        self.rights.push(Rights {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            configure: configure.to_owned(),
            write: write.to_owned(),
            read: read.to_owned(),
        });
        self
    }

    /// Talks TLS with clients, and asks them for a certificate of the run's own authority.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Puts a proxy before the server, so that checks can disturb the network.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Adds a line of RabbitMQ's own configuration.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the server, and returns once it answers.
    ///
    /// # Errors
    ///
    /// Where the program is missing, with what to install, or does not come up, with its log's last complaint.
    pub fn start(self) -> Result<RabbitMqServer> {
        RabbitMqServer::start(self)
    }

    /// The text of `rabbitmq.conf`.
    pub(super) fn text(&self, ports: Ports, folder: &Path, tls: Option<&Certificates>) -> String {
        let mut text = SMALL.to_owned();
        // Writing to a string does not fail.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        line(format!("load_definitions = {}", definitions(folder).display()));
        line(format!("listeners.tcp.1 = 127.0.0.1:{}", ports.admin));
        if let Some(tls) = tls {
            line(format!("listeners.ssl.1 = 127.0.0.1:{}", ports.client));
            line(format!("ssl_options.cacertfile = {}", tls.ca.display()));
            line(format!("ssl_options.certfile = {}", tls.server.display()));
            line(format!("ssl_options.keyfile = {}", tls.server_key.display()));
            line("ssl_options.verify = verify_peer".to_owned());
            line("ssl_options.fail_if_no_peer_cert = true".to_owned());
        }
        for extra in &self.lines {
            line(extra.clone());
        }
        text
    }

    /// The users and virtual hosts, in the form in which the server loads them at its start.
    pub(super) fn definitions(&self) -> String {
        let (users, vhosts) = (self.known_users(), self.known_vhosts());
        let mut permissions = Vec::new();
        for (user, _) in &users {
            for vhost in &vhosts {
                let bounded = self.rights.iter().find(|r| r.user == *user && r.vhost == *vhost);
                permissions.push(match bounded {
                    Some(Rights {
                        configure,
                        write,
                        read,
                        ..
                    }) => {
                        json!({"user": user, "vhost": vhost, "configure": configure, "write": write, "read": read})
                    }
                    None => {
                        json!({"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"})
                    }
                });
            }
        }
        let users: Vec<_> = users
            .iter()
            .map(|(name, password)| json!({"name": name, "password": password, "tags": ["administrator"]}))
            .collect();
        let vhosts: Vec<_> = vhosts.iter().map(|name| json!({"name": name})).collect();
        json!({"users": users, "vhosts": vhosts, "permissions": permissions}).to_string()
    }

    /// As whom and in which virtual host clients are to log in.
    pub(super) fn login(&self) -> (String, String, String) {
        let (name, password) = self.known_users().swap_remove(0);
        let vhost = self.vhosts.first().cloned().unwrap_or_else(|| "/".to_owned());
        (name, password, vhost)
    }

    /// Never none.
    fn known_users(&self) -> Vec<(String, String)> {
        match self.users.is_empty() {
            true => vec![("guest".to_owned(), "guest".to_owned())],
            false => self.users.clone(),
        }
    }

    fn known_vhosts(&self) -> Vec<String> {
        let mut vhosts = vec!["/".to_owned()];
        vhosts.extend(self.vhosts.iter().filter(|name| *name != "/").cloned());
        vhosts
    }
}

/// The file with the users and virtual hosts.
pub(super) fn definitions(folder: &Path) -> std::path::PathBuf {
    folder.join("definitions.json")
}

/// A server that says little, and does not care how full the machine's disk is.
const SMALL: &str = "\
log.file = false
log.console = true
log.console.level = warning
log.console.use_colors = off
disk_free_limit.absolute = 1MB
";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn everybody_may_do_all_unless_told_otherwise() {
        let config = RabbitMqConfig::new()
            .user("alice", "secret")
            .user("reader", "pw")
            .vhost("shop")
            .rights("reader", "shop", ["", "", ".*"]);
        let definitions: Value = serde_json::from_str(&config.definitions()).unwrap();
        let of = |user: &str, vhost: &str| {
            let all = definitions["permissions"].as_array().unwrap();
            let found = all
                .iter()
                .find(|one| one["user"] == user && one["vhost"] == vhost);
            found
                .map(|one| (one["write"].clone(), one["read"].clone()))
                .unwrap()
        };
        assert_eq!(of("alice", "shop"), (".*".into(), ".*".into()));
        assert_eq!(of("reader", "/"), (".*".into(), ".*".into()));
        assert_eq!(of("reader", "shop"), ("".into(), ".*".into()));
        assert_eq!(
            config.login(),
            ("alice".to_owned(), "secret".to_owned(), "shop".to_owned())
        );
    }
}
