//! A private Redis server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, failed, free_port, run, wait_until};
use super::resp::Connection;
use super::{Certificates, RedisConfig, Reply, ServerVersion};
use crate::TcpProxy;

/// Names another program than `redis-server`: another version, or Valkey's `valkey-server`.
const PROGRAM: &str = "BROKER_TEST_REDIS_SERVER";

pub(super) const INSTALL: &str =
    "install it (`apt-get install redis-server`), or name one by BROKER_TEST_REDIS_SERVER";

/// How long a server may take to come up, with the machine under load and a log to replay.
const STARTING: Duration = Duration::from_secs(120);

/// The password of the user `admin`, which only the server's own socket is used with.
const ADMIN: &str = "testkit-admin";

/// A private Redis server: a child process on a free port of 127.0.0.1 with its data in a temporary folder.
///
/// Clones are handles of one server. It ends with the last of them.
///
/// ```no_run
/// # fn main() -> broker_core::Result<()> {
/// use broker_testkit::servers::RedisConfig;
///
/// let server = RedisConfig::new().append_only().start()?;
/// server.command(&["RPUSH", "orders", "by hand"])?;
/// server.kill()?;
/// server.restart()?; // the same port, the same data
/// assert_eq!(server.command(&["LLEN", "orders"])?.as_number(), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisServer(Arc<Inner>);

struct Inner {
    // Before the folder: the process ends first.
    process: Mutex<Option<Process>>,
    folder: TempDir,
    port: u16,
    config: RedisConfig,
    certificates: Option<Certificates>,
    proxy: Option<Arc<TcpProxy>>,
    version: ServerVersion,
}

impl RedisServer {
    /// The version of the program that [`RedisConfig::start`] starts.
    ///
    /// # Errors
    ///
    /// Where it is missing, with what to install.
    pub fn installed() -> Result<ServerVersion> {
        let mut command = Command::new(program());
        command.arg("--version");
        let line = run(command, INSTALL)?;
        ServerVersion::parse(&line).ok_or_else(|| {
            Error::new(
                ErrorKind::Unexpected,
                format!("`{} --version` is not understood: {}", program(), line.trim()),
            )
        })
    }

    pub(super) fn start(config: RedisConfig) -> Result<Self> {
        let version = Self::installed()?;
        let folder = tempfile::Builder::new()
            .prefix("broker-redis-")
            .tempdir()
            .map_err(|error| failed("redis-server", "no temporary folder", error))?;
        let certificates = match (config.tls, &config.certificates) {
            (true, None) => Some(Certificates::make(folder.path())?),
            (_, known) => known.clone(),
        };
        let port = free_port()?;
        let proxy = match config.proxied {
            true => Some(Arc::new(TcpProxy::start(([127, 0, 0, 1], port).into())?)),
            false => None,
        };
        let server = Self(Arc::new(Inner {
            process: Mutex::default(),
            folder,
            port,
            config,
            certificates,
            proxy,
            version,
        }));
        server.restart()?;
        Ok(server)
    }

    /// Which server it is.
    #[must_use]
    pub fn version(&self) -> &ServerVersion {
        &self.0.version
    }

    /// Its port on 127.0.0.1, which it keeps over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The certificates, where it talks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.0.certificates.as_ref()
    }

    /// The proxy before it, where there is one.
    #[must_use]
    pub fn proxy(&self) -> Option<&Arc<TcpProxy>> {
        self.0.proxy.as_ref()
    }

    /// Whether its data outlives a restart.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.0.config.append_only
    }

    /// The path of its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.folder.path().join("redis.sock")
    }

    /// Its folder, where a test may lay further files that go with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// The address for the default user, password included: `redis://:secret@127.0.0.1:40000/0`. It is the proxy's
    /// where there is one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.proxy().map_or(self.port(), |proxy| proxy.port()))
    }

    /// The same address at another port of this machine, such as a proxy's.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        let password = match &self.0.config.password {
            Some(password) => format!(":{password}@"),
            None => String::new(),
        };
        let (scheme, host) = match self.0.config.tls {
            true => ("rediss", "localhost"),
            false => ("redis", "127.0.0.1"),
        };
        format!("{scheme}://{password}{host}:{port}/0")
    }

    /// Starts it where it is down, with the same port and data, and returns once it answers.
    ///
    /// # Errors
    ///
    /// Where it does not come up, with the last line of its log.
    pub fn restart(&self) -> Result<()> {
        let mut process = self.process();
        if process.as_mut().is_some_and(|process| process.ended().is_none()) {
            return Ok(());
        }
        *process = None;
        let folder = self.folder();
        let file = folder.join("redis.conf");
        let text = self
            .0
            .config
            .text(self.0.port, folder, ADMIN, self.certificates());
        std::fs::write(&file, text).map_err(|error| failed("redis-server", "no settings file", error))?;
        let mut command = Command::new(program());
        command.arg(&file);
        let mut started = Process::start(command, &self.log(), folder, INSTALL)?;
        let mut ended = false;
        let up = wait_until(STARTING, || {
            ended = started.ended().is_some();
            ended || matches!(self.ask(&[b"PING"]), Ok(Reply::Text(pong)) if pong == b"PONG")
        });
        if ended || !up {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let last = log.lines().rev().find(|line| !line.trim().is_empty());
            return Err(Error::new(
                ErrorKind::Unexpected,
                format!(
                    "redis-server did not come up: {}",
                    last.unwrap_or("its log is empty").trim()
                ),
            ));
        }
        *process = Some(started);
        Ok(())
    }

    /// Stops it in good order.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn stop(&self) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.stop(),
            None => Ok(()),
        }
    }

    /// Kills it without a warning.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn kill(&self) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops its time: connections stay and nothing is answered.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets its time go on.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it something past every adapter, as a user with all rights.
    ///
    /// # Errors
    ///
    /// The server's error, or that it can't be reached.
    pub fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> Result<Reply> {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        match self.ask(&words) {
            Ok(Reply::Error(error)) => Err(Error::new(ErrorKind::Unexpected, error)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Error::new(ErrorKind::Connection, "the private server is away").source(error)),
        }
    }

    fn ask(&self, words: &[&[u8]]) -> std::io::Result<Reply> {
        let mut connection = Connection::open(&self.socket())?;
        match connection.ask(&[b"AUTH", b"admin", ADMIN.as_bytes()])? {
            Reply::Error(error) => Err(std::io::Error::other(error)),
            _ => connection.ask(words),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(process) = self.process().as_mut()
            && process.ended().is_none()
        {
            return process.signal(signal);
        }
        Err(Error::new(
            ErrorKind::NotFound,
            "the private server is down; start it first",
        ))
    }

    fn log(&self) -> PathBuf {
        self.folder().join("redis.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.0.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("version", &self.0.version)
            .field("port", &self.0.port)
            .finish_non_exhaustive()
    }
}

pub(super) fn program() -> String {
    std::env::var(PROGRAM).unwrap_or_else(|_| "redis-server".to_owned())
}
