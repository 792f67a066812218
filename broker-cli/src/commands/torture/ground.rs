//! Where a torture run takes place: which broker, and what of it can be disturbed.

use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;

use broker_core::config::{BrokerUrl, Settings};
use broker_core::registry::Registry;
use broker_core::{Broker, Error, ErrorKind};
use broker_testkit::servers::{KafkaConfig, RabbitMqConfig, RedisConfig};
use broker_testkit::torture::{Member, Positions};
use broker_testkit::{NetProxy, ServerControl, TcpProxy};

use crate::exit::Stop;
use crate::session::Session;

/// What every run sets: a consumer that dies is an attempt of the messages it had in hand, and a run has no handler that
/// would send any to the dead letters; and nobody wants to wait five minutes for what a dead consumer had.
const ALWAYS: [(&str, &str); 2] = [("max_retries", "1000"), ("message_timeout", "5s")];

/// What is set on a private server, where faults come quickly and so must what notices them.
const PRIVATE: [(&str, &str); 2] = [("message_timeout", "2s"), ("circuit_breaker_reset", "500ms")];

/// The same for Redis.
const PRIVATE_REDIS: [(&str, &str); 1] = [("response_timeout", "1s")];

/// The same for Kafka.
const PRIVATE_KAFKA: [(&str, &str); 4] = [
    ("response_timeout", "2s"),
    ("session_timeout", "3s"),
    ("heartbeat_interval", "500ms"),
    ("revocation_wait", "2s"),
];

/// The same for RabbitMQ.
const PRIVATE_RABBITMQ: [(&str, &str); 1] = [("heartbeat", "2s")];

/// Where a torture run takes place.
pub(super) struct Ground {
    pub(super) broker: Broker,
    pub(super) server: Option<Arc<dyn ServerControl>>,
    pub(super) proxy: Option<Arc<dyn NetProxy>>,
    pub(super) positions: Option<Arc<dyn Positions>>,
    /// The private server's product and version.
    version: Option<String>,
    /// How a member is told which broker it is.
    arguments: Vec<OsString>,
    program: std::path::PathBuf,
}

impl Ground {
    /// The configured broker, or a private one of the provider `private`; `set` has the last word.
    pub(super) async fn of(
        session: &Session<'_, '_>,
        private: Option<&str>,
        set: &[(String, String)],
    ) -> Result<Self, Stop> {
        let (mut arguments, mut settings, mut more) = (Vec::new(), None, Vec::new());
        let (mut server, mut proxy, mut positions, mut version) = (None, None, None, None);
        more.extend(ALWAYS.map(owned));
        let upstream = match private {
            Some(provider) => {
                let started = tokio::task::spawn_blocking({
                    let provider = provider.to_owned();
                    move || Private::start(&provider)
                });
                let private = started.await.map_err(Stop::failure)??;
                server = Some(private.control);
                proxy = private.proxy;
                positions = private.positions;
                version = Some(private.version);
                more.extend(PRIVATE.map(owned));
                more.extend(private.settings.iter().copied().map(owned));
                more.push(("provider".to_owned(), provider.to_owned()));
                settings = Some(Settings::from_url(&private.url)?);
                arguments.extend([OsString::from("--url"), OsString::from(private.url)]);
                arguments.extend(session.log().arguments());
                private.port.map(|port| ("127.0.0.1".to_owned(), port))
            }
            None => {
                arguments.extend(session.for_child());
                one_connection(&session.settings()?)
            }
        };
        if let Some((host, port)) = upstream {
            let address = tokio::net::lookup_host((host.as_str(), port)).await;
            let address = address.ok().and_then(|mut addresses| addresses.next());
            let address = address.ok_or_else(|| {
                Error::new(ErrorKind::Connection, format!("the host `{host}` is not known"))
            })?;
            let started = TcpProxy::start(address)?;
            // Beside a URI these win, so that no password need be written into a command line.
            more.push(("host".to_owned(), "127.0.0.1".to_owned()));
            more.push(("port".to_owned(), started.port().to_string()));
            proxy = Some(Arc::new(started) as Arc<dyn NetProxy>);
        }
        more.extend_from_slice(set);
        let mut settings = match settings {
            Some(settings) => settings,
            None => session.settings()?,
        };
        for (key, value) in &more {
            settings.set(key, value.clone(), Some("--set".to_owned()));
            arguments.extend([OsString::from("--set"), OsString::from(format!("{key}={value}"))]);
        }
        let broker = Broker::from_settings("default", settings, &Registry::linked()?)?;
        if broker.provider() == "inline" {
            return Err(Stop::usage(
                "the provider `inline` lives in one process, and consumers are processes of their own; name a server",
            ));
        }
        // Also when its file is replaced meanwhile, as by a build.
        let own = std::path::PathBuf::from("/proc/self/exe");
        let program = if own.exists() {
            own
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            broker,
            server,
            proxy,
            positions,
            version,
            arguments,
            program,
        })
    }

    /// The server's product and version, where it tells them.
    pub(super) async fn server_version(&self) -> Option<String> {
        if self.version.is_some() {
            return self.version.clone();
        }
        let details = self.broker.health_stats().await.details;
        let version = details.into_iter().find(|(name, _)| name == "server_version");
        version.map(|(_, version)| version)
    }

    /// How to start a consumer process: this program again.
    pub(super) fn member(&self) -> impl Fn(&Member) -> Command + Send + Sync + use<> {
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        move |member| {
            let mut command = Command::new(&program);
            command.arg("torture-member").args(&arguments);
            command.args(["--run", &member.run, "--stream", &member.stream]);
            command.args(["--group", &member.group, "--consumer", &member.consumer]);
            command.args(["--seed", &member.seed.to_string()]);
            command.arg("--journal").arg(&member.journal);
            command
        }
    }

    /// What can't be disturbed here.
    pub(super) fn notes(&self) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if self.server.is_none() {
            notes.push("not exercised: faults of the server, which is not ours to kill; `--private` starts one that is");
        }
        if self.proxy.is_none() {
            notes.push(
                "not exercised: faults of connections, which do not all go to one address in the clear",
            );
        }
        notes
    }
}

/// A server of this run's own.
struct Private {
    control: Arc<dyn ServerControl>,
    version: String,
    /// Where it is reached.
    url: String,
    /// The port that a proxy is to be put before.
    port: Option<u16>,
    /// The proxy that it brings along.
    proxy: Option<Arc<dyn NetProxy>>,
    /// Who can be asked what a group has settled.
    positions: Option<Arc<dyn Positions>>,
    settings: &'static [(&'static str, &'static str)],
}

impl Private {
    fn start(provider: &str) -> Result<Self, Stop> {
        match provider {
            "redis" | "redis_streams" | "redis_pubsub" => {
                let server = RedisConfig::new()
                    .append_only()
                    // A log that is rewritten early is replayed quickly, and there are many restarts.
                    .line("auto-aof-rewrite-min-size 8mb")
                    .start()?;
                Ok(Self {
                    version: server.version().to_string(),
                    url: format!("redis://127.0.0.1:{}/0", server.port()),
                    port: Some(server.port()),
                    proxy: None,
                    positions: None,
                    settings: &PRIVATE_REDIS,
                    control: Arc::new(server),
                })
            }
            "kafka" if cfg!(feature = "kafka") => {
                // It tells clients where it is, which has to be the proxy.
                let server = KafkaConfig::new().proxied().start()?;
                let proxy = server.proxy().map(|proxy| Arc::clone(proxy) as Arc<dyn NetProxy>);
                Ok(Self {
                    version: server.version().to_string(),
                    url: server.url(),
                    port: None,
                    proxy,
                    positions: Some(Arc::new(server.clone())),
                    settings: &PRIVATE_KAFKA,
                    control: Arc::new(server),
                })
            }
            "kafka" => Err(Stop::usage(
                "this program was built without the provider `kafka`; build it with `--features kafka`",
            )),
            "rabbitmq" if cfg!(feature = "rabbitmq") => {
                let server = RabbitMqConfig::new().start()?;
                Ok(Self {
                    version: server.version().to_string(),
                    url: server.url(),
                    port: Some(server.port()),
                    proxy: None,
                    positions: None,
                    settings: &PRIVATE_RABBITMQ,
                    control: Arc::new(server),
                })
            }
            "rabbitmq" => Err(Stop::usage(
                "this program was built without the provider `rabbitmq`; build it with `--features rabbitmq`",
            )),
            _ => Err(Stop::usage(format_args!(
                "there is no private server for `{provider}`; redis, redis_pubsub, kafka or rabbitmq is expected"
            ))),
        }
    }
}

/// Where all connections of a broker go, if that is one address and they can be led elsewhere.
fn one_connection(settings: &Settings) -> Option<(String, u16)> {
    let provider = settings.text("provider")?;
    if !matches!(provider, "redis" | "redis_streams" | "redis_pubsub" | "valkey") {
        return None;
    }
    if settings.text("socket").is_some() || settings.text("tls").is_some_and(|tls| tls != "false") {
        return None;
    }
    let uri = match settings.text("uri") {
        Some(uri) => Some(BrokerUrl::parse(uri).ok()?),
        None => None,
    };
    if uri
        .as_ref()
        .is_some_and(|uri| !matches!(uri.scheme(), "redis" | "valkey"))
    {
        return None;
    }
    let hosts = uri.as_ref().map_or(&[][..], BrokerUrl::hosts);
    let (host, port) = match hosts {
        [] => (String::new(), None),
        [one] => one.clone(),
        _ => return None,
    };
    let host = settings.text("host").map_or(host, str::to_owned);
    let port = match settings.text("port") {
        Some(port) => port.parse().ok()?,
        None => port.unwrap_or(6379),
    };
    let host = if host.is_empty() {
        "localhost".to_owned()
    } else {
        host
    };
    Some((host, port))
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
