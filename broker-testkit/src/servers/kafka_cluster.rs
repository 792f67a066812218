//! A private Kafka cluster.

use broker_core::Result;

use super::process::quiet_port;
use super::{KafkaConfig, KafkaServer};

/// A private Kafka cluster of three brokers that keep every topic three times, and write with two of them.
#[derive(Clone, Debug)]
pub struct KafkaCluster {
    nodes: Vec<KafkaServer>,
}

impl KafkaCluster {
    /// Starts three brokers with these settings, and returns once each knows of all.
    ///
    /// # Errors
    ///
    /// As [`KafkaConfig::start`].
    pub fn start(config: &KafkaConfig) -> Result<Self> {
        let controllers = [quiet_port()?, quiet_port()?, quiet_port()?];
        let nodes = (1..=controllers.len())
            .map(|id| KafkaServer::prepare(config.clone().replicated(), id, &controllers))
            .collect::<Result<Vec<_>>>()?;
        for node in &nodes {
            node.launch()?;
        }
        let cluster = Self { nodes };
        cluster.wait()?;
        Ok(cluster)
    }

    /// The brokers.
    #[must_use]
    pub fn nodes(&self) -> &[KafkaServer] {
        &self.nodes
    }

    /// What clients are configured with.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(KafkaServer::bootstrap_servers).collect();
        hosts.join(",")
    }

    /// Waits until each broker knows of all.
    ///
    /// # Errors
    ///
    /// Where one is down, or that takes too long.
    pub fn wait(&self) -> Result<()> {
        self.nodes
            .iter()
            .try_for_each(|node| node.wait_for_brokers(self.nodes.len()))
    }
}

impl KafkaConfig {
    fn replicated(self) -> Self {
        // A later line replaces an earlier one.
        self.line("default.replication.factor=3")
            .line("min.insync.replicas=2")
            .line("offsets.topic.replication.factor=3")
            .line("transaction.state.log.replication.factor=3")
            .line("transaction.state.log.min.isr=2")
    }
}
