//! A private Redis server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use broker_core::{Error, ErrorKind, Result};
use tempfile::TempDir;

use super::process::{Process, failed, folder, free_port, run};
use super::resp::Connection;
use super::seat::Seat;
use super::{Certificates, RedisConfig, Reply, ServerVersion};
use crate::TcpProxy;

/// Names another program than `redis-server`: another version, or Valkey's `valkey-server`.
const PROGRAM: &str = "BROKER_TEST_REDIS_SERVER";

pub(super) const INSTALL: &str =
    "install it (`apt-get install redis-server`), or name one by BROKER_TEST_REDIS_SERVER";

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
    seat: Seat,
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
        let folder = folder("redis")?;
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
            seat: Seat::default(),
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
        self.0.seat.launch(|| self.process())?;
        let pong = || matches!(self.ask(&[b"PING"]), Ok(Reply::Text(pong)) if pong == b"PONG");
        if self.0.seat.comes_up(pong)? {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.unwrap_or("its log is empty").trim();
        Err(Error::new(
            ErrorKind::Unexpected,
            format!("redis-server did not come up: {last}"),
        ))
    }

    fn process(&self) -> Result<Process> {
        let (folder, tls) = (self.folder(), self.certificates());
        let file = folder.join("redis.conf");
        let text = self.0.config.text(self.0.port, folder, ADMIN, tls);
        std::fs::write(&file, text).map_err(|error| failed("redis-server", "no settings file", error))?;
        let mut command = Command::new(program());
        command.arg(&file);
        Process::start(command, &self.log(), folder, INSTALL)
    }

    /// Stops it in good order.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn stop(&self) -> Result<()> {
        self.0.seat.stop()
    }

    /// Kills it without a warning.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn kill(&self) -> Result<()> {
        self.0.seat.kill()
    }

    /// Stops its time: connections stay and nothing is answered.
    ///
    /// # Errors
    ///
    /// Where it is down, and what the operating system answers.
    pub fn pause(&self) -> Result<()> {
        self.0.seat.pause()
    }

    /// Lets its time go on.
    ///
    /// # Errors
    ///
    /// Where it is down, and what the operating system answers.
    pub fn resume(&self) -> Result<()> {
        self.0.seat.resume()
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

    fn log(&self) -> PathBuf {
        self.folder().join("redis.log")
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
