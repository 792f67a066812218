//! A private Redis Cluster.

use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};

use super::process::wait_until;
use super::{RedisConfig, RedisServer};

/// How long nodes may take to agree.
const AGREEING: Duration = Duration::from_secs(60);

/// A private Redis Cluster of three masters that share the slots evenly.
#[derive(Clone, Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three nodes with these settings, and returns once each sees a whole cluster.
    ///
    /// # Errors
    ///
    /// As [`RedisConfig::start`], and where the nodes do not agree in time.
    pub fn start(config: &RedisConfig) -> Result<Self> {
        let mut config = config
            .clone()
            .line("cluster-enabled yes")
            .line("cluster-node-timeout 2000");
        if config.tls {
            config = config.line("tls-cluster yes");
        }
        let first = config.clone().start()?;
        if let Some(certificates) = first.certificates() {
            // The nodes talk TLS among each other as well: they trust the same authority.
            config = config.certified(certificates.clone());
        }
        let nodes = vec![first, config.clone().start()?, config.start()?];
        let cluster = Self { nodes };
        for (node, (from, to)) in cluster
            .nodes
            .iter()
            .zip([(0, 5460), (5461, 10922), (10923, 16383)])
        {
            // One by one: the form with ranges came with Redis 7.
            let mut words = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
            words.extend((from..=to).map(|slot: u16| slot.to_string()));
            node.command(&words)?;
        }
        if let Some((first, others)) = cluster.nodes.split_first() {
            for other in others {
                first.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()])?;
            }
        }
        cluster.wait()?;
        Ok(cluster)
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The address with all nodes: `redis://127.0.0.1:40000,127.0.0.1:40001,127.0.0.1:40002`, with TLS `rediss://…`.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        let tls = self.nodes.iter().any(|node| node.certificates().is_some());
        let scheme = if tls { "rediss" } else { "redis" };
        format!("{scheme}://{}", hosts.join(","))
    }

    /// Waits until each node sees a whole cluster.
    ///
    /// # Errors
    ///
    /// Where that takes too long.
    pub fn wait(&self) -> Result<()> {
        let whole = |node: &RedisServer| {
            node.command(&["CLUSTER", "INFO"]).is_ok_and(|info| {
                let info = info.to_text();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        };
        if wait_until(AGREEING, || self.nodes.iter().all(whole)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Timeout,
            "the nodes of the private cluster did not agree in time",
        ))
    }
}
