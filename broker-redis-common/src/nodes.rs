//! The servers that a broker knows, and the way to each.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use broker_core::Result;
use redis::{Cmd, Pipeline, Value};

use crate::Redis;
use crate::address::Address;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::sentinel::Primary;
use crate::slots::slot_of_key;
use crate::topology::Topology;

/// The servers that a broker knows. They are never forgotten, so that a number stays one server's.
#[derive(Default)]
pub(crate) struct Nodes(Mutex<Vec<Arc<Node>>>);

impl Nodes {
    /// The server at `address`, which is new where it is not known.
    pub(crate) fn at(&self, address: Address) -> Arc<Node> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = nodes.iter().find(|node| node.address == address) {
            return Arc::clone(known);
        }
        let node = Arc::new(Node::new(nodes.len(), address));
        nodes.push(Arc::clone(&node));
        node
    }

    /// All of them, by number.
    pub(crate) fn all(&self) -> Vec<Arc<Node>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Which server a command goes to.
pub(crate) enum Way {
    One(Arc<Node>),
    Primary(Primary),
    Cluster(Cluster),
}

impl Way {
    pub(crate) fn new(topology: Topology, nodes: &Nodes) -> Self {
        match topology {
            Topology::One(address) => Self::One(nodes.at(address)),
            Topology::Sentinel { master, sentinels } => Self::Primary(Primary::new(master, sentinels)),
            Topology::Cluster(seeds) => Self::Cluster(Cluster::new(seeds)),
        }
    }

    /// The server that holds `key`, or any.
    pub(crate) async fn node(&self, redis: &Redis, key: Option<&str>) -> Result<Arc<Node>> {
        let slot = key.map(|key| slot_of_key(key.as_bytes()));
        self.node_for(redis, slot).await
    }

    /// The server that holds `slot`, or any.
    pub(crate) async fn node_for(&self, redis: &Redis, slot: Option<u16>) -> Result<Arc<Node>> {
        match self {
            Self::One(node) => Ok(Arc::clone(node)),
            Self::Primary(primary) => primary.node(redis).await,
            Self::Cluster(cluster) => cluster.node(redis, slot).await,
        }
    }

    /// Sends one command; a refusal by the server is an answer.
    pub(crate) async fn ask(&self, redis: &Redis, command: &Cmd) -> Result<Value> {
        match self {
            Self::One(node) => node.shared(redis).await?.ask(command).await,
            Self::Primary(primary) => primary.node(redis).await?.shared(redis).await?.ask(command).await,
            Self::Cluster(cluster) => cluster.ask(redis, command).await,
        }
    }

    /// Sends commands in one piece; a refusal of one of them is its answer.
    pub(crate) async fn pipeline(&self, redis: &Redis, pipeline: &Pipeline) -> Result<Vec<Value>> {
        match self {
            Self::One(node) => node.shared(redis).await?.pipeline(pipeline).await,
            Self::Primary(primary) => {
                let node = primary.node(redis).await?;
                node.shared(redis).await?.pipeline(pipeline).await
            }
            Self::Cluster(cluster) => cluster.pipeline(redis, pipeline).await,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(node) => write!(f, "{}", node.address),
            Self::Primary(primary) => write!(f, "{primary}"),
            Self::Cluster(cluster) => {
                let seeds: Vec<_> = cluster.seeds().iter().map(ToString::to_string).collect();
                f.write_str(&seeds.join(","))
            }
        }
    }
}
