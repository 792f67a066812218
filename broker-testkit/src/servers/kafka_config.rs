//! How a private Kafka broker is to be.

use std::fmt::Write as _;
use std::path::Path;

use broker_core::Result;

use super::{Certificates, KafkaServer};

/// How a private Kafka broker is to be; without further words one without passwords and TLS.
#[derive(Clone, Debug, Default)]
pub struct KafkaConfig {
    pub(super) users: Vec<(String, String)>,
    pub(super) tls: bool,
    pub(super) proxied: bool,
    pub(super) lines: Vec<String>,
}

/// One broker's place among those of its cluster.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    pub(super) ports: Ports,
    /// The ports of all controllers, in the order of their ids from 1.
    pub(super) controllers: Vec<u16>,
}

/// Where a broker listens on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// For the other controllers.
    pub(super) controller: u16,
    /// For the other brokers and the test's own tools: neither password nor TLS.
    pub(super) admin: u16,
    /// For clients.
    pub(super) client: u16,
    /// For clients that come through the proxy, and the proxy's own port.
    pub(super) proxied: Option<(u16, u16)>,
}

impl KafkaConfig {
    /// A broker without passwords and TLS.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, who logs in by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; without a user nobody has to.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Talks TLS with clients, and asks them for a certificate of the run's own authority.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Puts a proxy between clients and the broker, so that checks can disturb the network.
    ///
    /// A client reaches the broker by the address that it is told, which therefore is the proxy's.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Adds a line of Kafka's own configuration.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the broker, and returns once it answers.
    ///
    /// # Errors
    ///
    /// Where Java or Kafka is missing, with what to do, or the broker does not come up, with its log's last complaint.
    pub fn start(self) -> Result<KafkaServer> {
        KafkaServer::start(self)
    }

    /// The text of `server.properties`.
    pub(super) fn text(&self, node: &Node, folder: &Path, tls: Option<&Certificates>) -> String {
        let mut text = SMALL.to_owned();
        // Writing to a string does not fail.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        let voters: Vec<_> = (1..)
            .zip(&node.controllers)
            .map(|(id, port)| format!("{id}@127.0.0.1:{port}"))
            .collect();
        line(format!("node.id={}", node.id));
        line(format!("controller.quorum.voters={}", voters.join(",")));
        line(format!("log.dirs={}", folder.join("data").display()));

        let Ports {
            controller,
            admin,
            client,
            proxied,
        } = node.ports;
        let protocol = self.protocol();
        let mut listeners = format!(
            "CONTROLLER://127.0.0.1:{controller},ADMIN://127.0.0.1:{admin},CLIENT://127.0.0.1:{client}"
        );
        let mut advertised = format!("ADMIN://127.0.0.1:{admin},CLIENT://127.0.0.1:{client}");
        if let Some((port, proxy)) = proxied {
            let _ = write!(listeners, ",PROXIED://127.0.0.1:{port}");
            let _ = write!(advertised, ",PROXIED://127.0.0.1:{proxy}");
        }
        line(format!("listeners={listeners}"));
        line(format!("advertised.listeners={advertised}"));
        line(format!(
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,ADMIN:PLAINTEXT,CLIENT:{protocol},PROXIED:{protocol}"
        ));
        for listener in ["client", "proxied"] {
            if let Some(tls) = tls {
                line(format!("listener.name.{listener}.ssl.keystore.type=PEM"));
                line(format!(
                    "listener.name.{listener}.ssl.keystore.location={}",
                    keystore(folder).display()
                ));
                line(format!("listener.name.{listener}.ssl.truststore.type=PEM"));
                line(format!(
                    "listener.name.{listener}.ssl.truststore.location={}",
                    tls.ca.display()
                ));
                line(format!("listener.name.{listener}.ssl.client.auth=required"));
            }
            if !self.users.is_empty() {
                let users: String = self
                    .users
                    .iter()
                    .map(|(name, password)| format!(" user_{name}=\"{password}\""))
                    .collect();
                line(format!(
                    "listener.name.{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
                ));
                line(format!(
                    "listener.name.{listener}.plain.sasl.jaas.config=\
                     org.apache.kafka.common.security.plain.PlainLoginModule required{users};"
                ));
                for scram in ["scram-sha-256", "scram-sha-512"] {
                    line(format!(
                        "listener.name.{listener}.{scram}.sasl.jaas.config=\
                         org.apache.kafka.common.security.scram.ScramLoginModule required;"
                    ));
                }
            }
        }
        for extra in &self.lines {
            line(extra.clone());
        }
        text
    }

    /// What clients speak, in Kafka's word for it.
    pub(super) fn protocol(&self) -> &'static str {
        match (self.users.is_empty(), self.tls) {
            (true, false) => "PLAINTEXT",
            (true, true) => "SSL",
            (false, false) => "SASL_PLAINTEXT",
            (false, true) => "SASL_SSL",
        }
    }

    /// The words by which a broker's disk is formatted with its users.
    pub(super) fn scram(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, password) in &self.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                words.push("--add-scram".to_owned());
                words.push(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
        words
    }
}

/// The one file in which Kafka wants key and certificate.
pub(super) fn keystore(folder: &Path) -> std::path::PathBuf {
    folder.join("keystore.pem")
}

/// One small broker that is also its own controller, and forgets a dead broker or consumer soon.
const SMALL: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=ADMIN
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controlled.shutdown.enable=true
auto.create.topics.enable=false
";
