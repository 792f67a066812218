//! A private Kafka broker.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::{Error, ErrorKind, Result};
use tempfile::TempDir;

use super::kafka_config::{Node, Ports, keystore};
use super::kafka_install::{self, INSTALL_JAVA};
use super::kafka_positions;
use super::kafka_probe::brokers_alive;
use super::process::{Process, failed, folder, quiet_port, run, run_with_input};
use super::seat::Seat;
use super::{Certificates, KafkaConfig, ServerVersion};
use crate::TcpProxy;
use crate::torture::Position;

/// The name of every private cluster; Kafka wants one of this form.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// A private Kafka broker: a child process on free ports of 127.0.0.1 with its data in a temporary folder.
///
/// It is its own controller, and creates no topic unasked. Clones are handles of one broker. It ends with the last
/// of them.
///
/// ```no_run
/// # fn main() -> broker_core::Result<()> {
/// use broker_testkit::servers::KafkaConfig;
///
/// let server = KafkaConfig::new().start()?;
/// server.create_topic("orders", 3)?;
/// server.kill()?;
/// server.restart()?; // the same ports, the same data
/// let bootstrap_servers = server.bootstrap_servers();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KafkaServer(Arc<Inner>);

struct Inner {
    // Before the folder: the process ends first.
    seat: Seat,
    folder: TempDir,
    node: Node,
    config: KafkaConfig,
    certificates: Option<Certificates>,
    proxy: Option<Arc<TcpProxy>>,
    version: ServerVersion,
}

impl KafkaServer {
    /// The version of the Kafka that [`KafkaConfig::start`] starts.
    ///
    /// # Errors
    ///
    /// Where it is missing, with what to do.
    pub fn installed() -> Result<ServerVersion> {
        kafka_install::version()
    }

    pub(super) fn start(config: KafkaConfig) -> Result<Self> {
        let controller = quiet_port()?;
        let server = Self::prepare(config, 1, &[controller])?;
        server.restart()?;
        Ok(server)
    }

    /// A broker with everything but its process.
    pub(super) fn prepare(config: KafkaConfig, id: usize, controllers: &[u16]) -> Result<Self> {
        let version = Self::installed()?;
        let folder = folder("kafka")?;
        let certificates = match config.tls {
            true => Some(certificates(folder.path())?),
            false => None,
        };
        let (mut proxy, mut proxied) = (None, None);
        if config.proxied {
            let port = quiet_port()?;
            let started = TcpProxy::start(([127, 0, 0, 1], port).into())?;
            proxied = Some((port, started.port()));
            proxy = Some(Arc::new(started));
        }
        let controller = id
            .checked_sub(1)
            .and_then(|at| controllers.get(at))
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, "a broker is not among its controllers"))?;
        let node = Node {
            id,
            ports: Ports {
                controller,
                admin: quiet_port()?,
                client: quiet_port()?,
                proxied,
            },
            controllers: controllers.to_vec(),
        };
        let server = Self(Arc::new(Inner {
            seat: Seat::default(),
            folder,
            node,
            config,
            certificates,
            proxy,
            version,
        }));
        server.format()?;
        Ok(server)
    }

    /// Which Kafka it is.
    #[must_use]
    pub fn version(&self) -> &ServerVersion {
        &self.0.version
    }

    /// Its port for clients on 127.0.0.1, which it keeps over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.node.ports.client
    }

    /// What clients are configured with: the proxy's address where there is one.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        let port = self.proxy().map_or(self.port(), |proxy| proxy.port());
        format!("127.0.0.1:{port}")
    }

    /// The address for the first user, password included: `kafka://alice:secret@127.0.0.1:20000`.
    #[must_use]
    pub fn url(&self) -> String {
        let user = match self.0.config.users.first() {
            Some((name, password)) => format!("{name}:{password}@"),
            None => String::new(),
        };
        let scheme = if self.0.config.tls { "kafkas" } else { "kafka" };
        format!("{scheme}://{user}{}", self.bootstrap_servers())
    }

    /// Where the test's own tools reach it, past proxy, password and TLS.
    #[must_use]
    pub fn admin_servers(&self) -> String {
        format!("127.0.0.1:{}", self.0.node.ports.admin)
    }

    /// What clients speak: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    #[must_use]
    pub fn security_protocol(&self) -> &'static str {
        self.0.config.protocol()
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

    /// Starts it where it is down, with the same ports and data, and returns once it answers.
    ///
    /// # Errors
    ///
    /// Where it does not come up, with its log's last complaint.
    pub fn restart(&self) -> Result<()> {
        self.launch()?;
        self.wait_for_brokers(1)
    }

    /// Starts its process where it is down.
    pub(super) fn launch(&self) -> Result<()> {
        self.0.seat.launch(|| {
            let mut command = kafka_install::java("kafka.Kafka", kafka_install::SERVER)?;
            command.arg(self.properties()).current_dir(self.folder());
            Process::start(command, &self.log(), self.folder(), INSTALL_JAVA)
        })
    }

    /// Waits until it knows of so many brokers, itself among them.
    pub(super) fn wait_for_brokers(&self, count: usize) -> Result<()> {
        let alive = || brokers_alive(self.0.node.ports.admin).is_ok_and(|alive| alive >= count);
        if self.0.seat.comes_up(alive)? {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let complaint = log
            .lines()
            .rev()
            .find(|line| line.contains("Exception") || line.contains("ERROR"))
            .or_else(|| log.lines().last())
            .unwrap_or("its log is empty");
        Err(Error::new(
            ErrorKind::Unexpected,
            format!("the private Kafka broker did not come up: {}", complaint.trim()),
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

    /// Creates a topic past every adapter.
    ///
    /// # Errors
    ///
    /// The tool's last line.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let partitions = partitions.to_string();
        let words = ["--create", "--topic", name, "--partitions", &partitions];
        self.tool("org.apache.kafka.tools.TopicCommand", &words, "")
            .map(drop)
    }

    /// Where a group is, by what it has committed, asked past every adapter and proxy.
    ///
    /// # Errors
    ///
    /// Where the broker does not answer.
    pub fn positions(&self, group: &str) -> Result<Vec<Position>> {
        kafka_positions::positions(self.0.node.ports.admin, group)
            .map_err(|error| failed("kafka", "no answer about positions", error))
    }

    /// Runs one of Kafka's own console tools against it, such as `org.apache.kafka.tools.ConsoleProducer`, with
    /// `input`, and hands back what it printed.
    ///
    /// # Errors
    ///
    /// Where it fails, with the last line of what it said.
    pub fn tool(&self, class: &str, words: &[&str], input: &str) -> Result<String> {
        self.tool_at(&self.admin_servers(), class, words, input)
    }

    /// The same by the way that clients take, with proxy, password and TLS; `words` must name a file that has these.
    ///
    /// # Errors
    ///
    /// Where it fails, with the last line of what it said.
    pub fn client_tool(&self, class: &str, words: &[&str], input: &str) -> Result<String> {
        self.tool_at(&self.bootstrap_servers(), class, words, input)
    }

    fn tool_at(&self, servers: &str, class: &str, words: &[&str], input: &str) -> Result<String> {
        let mut command = kafka_install::java(class, kafka_install::TOOL)?;
        command
            .args(["--bootstrap-server", servers])
            .args(words)
            .current_dir(self.folder());
        run_with_input(command, input, INSTALL_JAVA)
    }

    /// Writes the settings, and formats the disk with them.
    fn format(&self) -> Result<()> {
        let text = self
            .0
            .config
            .text(&self.0.node, self.folder(), self.certificates());
        std::fs::write(self.properties(), text)
            .map_err(|error| failed("kafka", "no settings file", error))?;
        let mut command = kafka_install::java("kafka.tools.StorageTool", kafka_install::TOOL)?;
        command
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(self.properties());
        command.args(self.0.config.scram()).current_dir(self.folder());
        run(command, INSTALL_JAVA).map(drop)
    }

    fn properties(&self) -> PathBuf {
        self.folder().join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("kafka.log")
    }
}

impl fmt::Debug for KafkaServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaServer")
            .field("version", &self.0.version)
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

/// Makes certificates, and the server's in the form that Kafka wants.
fn certificates(folder: &Path) -> Result<Certificates> {
    let certificates = Certificates::make(folder)?;
    let read = |path: &Path| std::fs::read_to_string(path);
    read(&certificates.server_key)
        .and_then(|key| Ok(key + &read(&certificates.server)?))
        .and_then(|both| std::fs::write(keystore(folder), both))
        .map_err(|error| failed("kafka", "no key store", error))?;
    Ok(certificates)
}
