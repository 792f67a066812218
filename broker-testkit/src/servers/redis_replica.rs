//! A private Redis server with a replica, and a Sentinel that watches them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};
use tempfile::TempDir;

use super::process::{Process, failed, folder, free_port, wait_until};
use super::redis::{INSTALL, program};
use super::resp::Connection;
use super::{RedisConfig, RedisServer, Reply};

/// How long replication, or a fail-over, may take.
const AGREEING: Duration = Duration::from_secs(60);

/// The name by which the Sentinel knows the pair.
const MASTER: &str = "broker";

/// A private Redis server, a replica of it, and one Sentinel that fails over after a second.
#[derive(Clone, Debug)]
pub struct RedisReplica {
    servers: [RedisServer; 2],
    sentinel: Arc<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    // Before the folder: the process ends first.
    _process: Mutex<Process>,
    folder: TempDir,
    port: u16,
}

impl RedisReplica {
    /// Starts all three, and returns once the replica is in step and the Sentinel knows it.
    ///
    /// # Errors
    ///
    /// As [`RedisConfig::start`], and where they do not find one another in time.
    pub fn start(config: &RedisConfig) -> Result<Self> {
        let config = config.clone().line("repl-diskless-sync-delay 0");
        let first = config.clone().start()?;
        let second = config
            .line(&format!("replicaof 127.0.0.1 {}", first.port()))
            .start()?;
        let sentinel = Sentinel::start(first.port())?;
        let pair = Self {
            servers: [first, second],
            sentinel: Arc::new(sentinel),
        };
        let in_step = || {
            let role = pair.servers[1].command(&["INFO", "replication"]);
            let linked = role.is_ok_and(|info| info.to_text().contains("master_link_status:up"));
            let known = pair.sentinel.ask(&[b"SENTINEL", b"REPLICAS", MASTER.as_bytes()]);
            linked && known.is_ok_and(|known| known.as_list().len() == 1)
        };
        late_unless(
            wait_until(AGREEING, in_step),
            "the replica did not come into step",
        )?;
        Ok(pair)
    }

    /// Both servers; which of them is the primary changes with a fail-over.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer; 2] {
        &self.servers
    }

    /// The Sentinel's address with the name of the primary: `redis://127.0.0.1:40000/0?sentinel=broker`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0?sentinel={MASTER}", self.sentinel_port())
    }

    /// The Sentinel's port on 127.0.0.1.
    #[must_use]
    pub fn sentinel_port(&self) -> u16 {
        self.sentinel.port
    }

    /// The name by which the Sentinel knows the pair.
    #[must_use]
    pub fn master_name(&self) -> &'static str {
        MASTER
    }

    /// The port that the Sentinel holds for the primary's.
    ///
    /// # Errors
    ///
    /// Where the Sentinel does not answer.
    pub fn primary_port(&self) -> Result<u16> {
        let words: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", MASTER.as_bytes()];
        let answer = self
            .sentinel
            .ask(&words)
            .map_err(|error| failed("redis-sentinel", "it does not answer", error))?;
        let port = answer.as_list().get(1).map(Reply::to_text).unwrap_or_default();
        port.parse()
            .map_err(|_| Error::new(ErrorKind::Unexpected, "the Sentinel names no primary"))
    }

    /// Waits until the Sentinel has made another server than the one at `port` the primary.
    ///
    /// # Errors
    ///
    /// Where that takes too long.
    pub fn wait_for_failover(&self, port: u16) -> Result<()> {
        let moved = || self.primary_port().is_ok_and(|primary| primary != port);
        late_unless(wait_until(AGREEING, moved), "the Sentinel did not fail over")
    }
}

impl Sentinel {
    fn start(primary: u16) -> Result<Self> {
        let folder = folder("sentinel")?;
        let port = free_port()?;
        let path = folder.path();
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {path}\nunixsocket {path}/redis.sock\n\
             sentinel monitor {MASTER} 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds {MASTER} 1000\n\
             sentinel failover-timeout {MASTER} 5000\n",
            path = path.display()
        );
        let file = path.join("sentinel.conf");
        std::fs::write(&file, text).map_err(|error| failed("redis-sentinel", "no settings file", error))?;
        let mut command = Command::new(program());
        command.arg(&file).arg("--sentinel");
        let process = Process::start(command, &path.join("sentinel.log"), path, INSTALL)?;
        let sentinel = Self {
            _process: Mutex::new(process),
            folder,
            port,
        };
        let up = wait_until(AGREEING, || sentinel.ask(&[b"PING"]).is_ok());
        late_unless(up, "the Sentinel did not come up")?;
        Ok(sentinel)
    }

    fn ask(&self, words: &[&[u8]]) -> std::io::Result<Reply> {
        let socket: PathBuf = self.folder.path().join("redis.sock");
        Connection::open(&socket)?.ask(words)
    }
}

fn late_unless(happened: bool, what: &'static str) -> Result<()> {
    if happened {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Timeout, what))
}
