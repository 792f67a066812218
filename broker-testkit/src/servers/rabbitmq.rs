//! A private RabbitMQ server.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};
use tempfile::TempDir;

use super::process::{Process, failed, folder, quiet_port};
use super::rabbitmq_config::{ADVANCED, Ports, definitions};
use super::rabbitmq_install::{self, INSTALL, program};
use super::seat::Seat;
use super::{Certificates, RabbitMqConfig, ServerVersion};
use crate::TcpProxy;

/// How long it may take to greet a client before it counts as not up yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a client of AMQP 0-9-1 says first.
const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

/// What Erlang's own tools prove themselves with.
pub(super) const COOKIE: &str = "testkit";

/// A private RabbitMQ server: a child process on free ports of 127.0.0.1 with its data in a temporary folder, and an
/// `epmd` of its own.
///
/// Clones are handles of one server. It ends with the last of them.
///
/// ```no_run
/// # fn main() -> broker_core::Result<()> {
/// use broker_testkit::servers::RabbitMqConfig;
///
/// let server = RabbitMqConfig::new().user("alice", "secret").vhost("shop").start()?;
/// server.kill()?;
/// server.restart()?; // the same port, the same data
/// let url = server.url(); // amqp://alice:secret@127.0.0.1:20000/shop
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RabbitMqServer(Arc<Inner>);

struct Inner {
    // Before the folder: the processes end first.
    seat: Seat,
    /// Erlang's name service. It would start one by itself, which then stays behind.
    names: Seat,
    folder: TempDir,
    ports: Ports,
    config: RabbitMqConfig,
    certificates: Option<Certificates>,
    proxy: Option<Arc<TcpProxy>>,
    version: ServerVersion,
}

impl RabbitMqServer {
    /// The version of the RabbitMQ that [`RabbitMqConfig::start`] starts.
    ///
    /// # Errors
    ///
    /// Where it is missing, with what to install.
    pub fn installed() -> Result<ServerVersion> {
        rabbitmq_install::version()
    }

    pub(super) fn start(config: RabbitMqConfig) -> Result<Self> {
        let version = Self::installed()?;
        let folder = folder("rabbitmq")?;
        let certificates = match config.tls {
            true => Some(Certificates::make(folder.path())?),
            false => None,
        };
        let client = quiet_port()?;
        let ports = Ports {
            client,
            admin: if config.tls { quiet_port()? } else { client },
            distribution: quiet_port()?,
            names: quiet_port()?,
        };
        let proxy = match config.proxied {
            true => Some(Arc::new(TcpProxy::start((Ipv4Addr::LOCALHOST, client).into())?)),
            false => None,
        };
        let server = Self(Arc::new(Inner {
            seat: Seat::default(),
            names: Seat::default(),
            folder,
            ports,
            config,
            certificates,
            proxy,
            version,
        }));
        server
            .write_settings()
            .map_err(|error| failed("rabbitmq-server", "no settings file", error))?;
        server.restart()?;
        Ok(server)
    }

    /// Which server it is.
    #[must_use]
    pub fn version(&self) -> &ServerVersion {
        &self.0.version
    }

    /// Its port for clients on 127.0.0.1, which it keeps over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.ports.client
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

    /// Its folder, where a test may lay further files that go with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// The address for the first user and the first virtual host, password included:
    /// `amqp://alice:secret@127.0.0.1:20000/shop`. It is the proxy's where there is one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.proxy().map_or(self.port(), |proxy| proxy.port()))
    }

    /// The same address at another port of this machine, such as a proxy's.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        let (scheme, host) = match self.0.config.tls {
            true => ("amqps", "localhost"),
            false => ("amqp", "127.0.0.1"),
        };
        self.address(scheme, host, port)
    }

    /// The address for the test's own tools: past proxy and TLS, the same user and virtual host.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.address("amqp", "127.0.0.1", self.0.ports.admin)
    }

    /// Starts it where it is down, with the same ports and data, and returns once it answers.
    ///
    /// # Errors
    ///
    /// Where it does not come up, with its log's last complaint.
    pub fn restart(&self) -> Result<()> {
        let Inner {
            seat, names, ports, ..
        } = &*self.0;
        names.launch(|| {
            let mut command = program("epmd");
            command.args(["-address", "127.0.0.1", "-port", &ports.names.to_string()]);
            Process::start(command, &self.folder().join("epmd.log"), self.folder(), INSTALL)
        })?;
        let known = self.read_log().len();
        seat.launch(|| Process::start(self.command(), &self.log(), self.folder(), INSTALL))?;
        if seat.comes_up(|| greets(ports.admin) && listens(ports.client))? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unexpected,
            format!("rabbitmq-server did not come up: {}", self.complaint(known)),
        ))
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
    /// A server keeps the list of its quorum queues in a file that it writes half a second late: one that was made shortly
    /// before its only node is killed comes back empty, whatever was confirmed, and takes nothing any more. No client can
    /// mend that, so the list is written first.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn kill(&self) -> Result<()> {
        // One that does not answer, as it starts or is paused, is killed as it is.
        let _ = self.evaluate("[dets:sync(Table) || Table <- dets:all()], ok.");
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

    /// Where Erlang's own tools reach it.
    pub(super) fn distribution_port(&self) -> u16 {
        self.0.ports.distribution
    }

    fn address(&self, scheme: &str, host: &str, port: u16) -> String {
        let (name, password, vhost) = self.0.config.login();
        let vhost = vhost.replace('%', "%25").replace('/', "%2F");
        format!("{scheme}://{name}:{password}@{host}:{port}/{vhost}")
    }

    fn write_settings(&self) -> io::Result<()> {
        let folder = self.folder();
        let text = self.0.config.text(self.0.ports, folder, self.certificates());
        std::fs::write(self.settings(), text)?;
        std::fs::write(definitions(folder), self.0.config.definitions())?;
        std::fs::write(self.advanced(), ADVANCED)?;
        std::fs::write(self.plugins(), "[].\n")?;
        std::fs::create_dir(self.home())?;
        let cookie = self.home().join(".erlang.cookie");
        std::fs::write(&cookie, COOKIE)?;
        // Erlang wants it so.
        std::fs::set_permissions(cookie, std::fs::Permissions::from_mode(0o400))
    }

    fn command(&self) -> Command {
        let folder = self.folder();
        let mut command = program("rabbitmq-server");
        command
            .current_dir(folder)
            .env("HOME", self.home())
            .env("RABBITMQ_NODENAME", "rabbit@localhost")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", self.settings())
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.advanced())
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.plugins())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_DIST_PORT", self.0.ports.distribution.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.0.ports.names.to_string())
            .env("ERL_FLAGS", "-start_epmd false")
            // Then the script becomes the server, instead of waiting for it.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        command
    }

    /// What its log first tells of an error beyond `known` bytes: what follows is where in its code that was.
    fn complaint(&self, known: usize) -> String {
        let log = self.read_log();
        let lines = || log.get(known..).unwrap_or_default().lines().map(str::trim);
        let error = lines().find_map(|line| Some(line.split_once("[error]")?.1.split_once("> ")?.1));
        let last = || lines().rfind(|line| !line.is_empty());
        error.or_else(last).unwrap_or("its log is empty").to_owned()
    }

    fn read_log(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn settings(&self) -> PathBuf {
        self.folder().join("rabbitmq.conf")
    }

    fn advanced(&self) -> PathBuf {
        self.folder().join("advanced.config")
    }

    fn plugins(&self) -> PathBuf {
        self.folder().join("enabled_plugins")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder().join("home")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("rabbitmq.log")
    }
}

impl fmt::Debug for RabbitMqServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqServer")
            .field("version", &self.0.version)
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

/// Whether somebody listens at this port: with TLS, that comes a moment later.
fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether a server of AMQP at this port greets a client: it listens once its queues are recovered.
fn greets(port: u16) -> bool {
    let greeted = || -> io::Result<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(GREETING)?;
        let mut frame = [0];
        stream.read_exact(&mut frame)?;
        Ok(frame[0])
    };
    // The frame of a method, the first of which is `connection.start`.
    greeted().is_ok_and(|frame| frame == 1)
}
