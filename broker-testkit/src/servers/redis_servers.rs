//! Private Redis servers in any arrangement.

use broker_core::{Error, ErrorKind, Result, async_trait};

use super::{Certificates, RedisCluster, RedisReplica, RedisServer, Reply};
use crate::ServerControl;

/// Private Redis servers in any arrangement, as a harness uses them.
#[derive(Clone, Debug)]
pub enum RedisServers {
    /// One server.
    One(RedisServer),
    /// A cluster.
    Cluster(RedisCluster),
    /// A server and its replica, watched by a Sentinel.
    Sentinel(RedisReplica),
}

impl RedisServers {
    /// The address for adapters: of the server, of all nodes, or of the Sentinel.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinel(pair) => pair.url(),
        }
    }

    /// The servers with data.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Cluster(cluster) => cluster.nodes(),
            Self::Sentinel(pair) => pair.servers(),
        }
    }

    /// The certificates, where they talk TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.servers().first().and_then(RedisServer::certificates)
    }

    /// Asks the server that is responsible for it something past every adapter, as a user with all rights.
    ///
    /// # Errors
    ///
    /// The server's error, or that it can't be reached.
    pub fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> Result<Reply> {
        let mut outcome = Err(Error::new(ErrorKind::NotFound, "there is no private server"));
        for server in self.servers() {
            outcome = server.command(words);
            // Elsewhere is a node that has the key, or the primary.
            let elsewhere = |error: &Error| {
                let text = error.to_string();
                text.contains("MOVED ") || text.contains("READONLY ") || error.kind() == ErrorKind::Connection
            };
            if !outcome.as_ref().is_err_and(elsewhere) {
                break;
            }
        }
        outcome
    }

    /// The server that faults happen to: of a watched pair the primary, so that the other takes over.
    fn victims(&self) -> Result<Vec<RedisServer>> {
        let servers = self.servers();
        let Self::Sentinel(pair) = self else {
            return Ok(servers.to_vec());
        };
        let primary = pair.primary_port()?;
        Ok(servers
            .iter()
            .filter(|server| server.port() == primary)
            .cloned()
            .collect())
    }
}

impl From<RedisServer> for RedisServers {
    fn from(server: RedisServer) -> Self {
        Self::One(server)
    }
}

impl From<RedisCluster> for RedisServers {
    fn from(cluster: RedisCluster) -> Self {
        Self::Cluster(cluster)
    }
}

impl From<RedisReplica> for RedisServers {
    fn from(pair: RedisReplica) -> Self {
        Self::Sentinel(pair)
    }
}

#[async_trait]
impl ServerControl for RedisServers {
    async fn start(&self) -> Result<()> {
        for server in self.servers() {
            server.start().await?;
        }
        let Self::Cluster(cluster) = self.clone() else {
            return Ok(());
        };
        match tokio::task::spawn_blocking(move || cluster.wait()).await {
            Ok(agreed) => agreed,
            Err(error) => {
                Err(Error::new(ErrorKind::Unexpected, "waiting for the cluster failed").source(error))
            }
        }
    }

    async fn stop(&self) -> Result<()> {
        for server in self.victims()? {
            ServerControl::stop(&server).await?;
        }
        Ok(())
    }

    async fn kill(&self) -> Result<()> {
        for server in self.victims()? {
            ServerControl::kill(&server).await?;
        }
        Ok(())
    }

    async fn configure(&self, key: &str, value: &str) -> Result<()> {
        for server in self.servers() {
            server.configure(key, value).await?;
        }
        Ok(())
    }
}
