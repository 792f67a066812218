//! All that talks to the server.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{BrokerEvent, Error, ErrorKind, GroupName, Result, StreamName};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion, RedisConnectionInfo,
    Value,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::config::{Address, RedisStreamsConfig};
use crate::connection::{Connection, Manner};
use crate::consumer::Consumer;
use crate::group::Group;
use crate::keys::{self, STREAMS, StreamKeys};
use crate::pool::{Place, Pool};
use crate::scripts::{self, Script};
use crate::server::Server;
use crate::{error, reply};

/// How many resolved names are kept; beyond that they are resolved anew.
const RESOLVED: usize = 4096;

/// The partitions of a stream.
pub(crate) type Topic = Arc<[Arc<StreamKeys>]>;

/// What all parts of one opened broker talk to the server through.
pub(crate) struct Client {
    pub(crate) config: RedisStreamsConfig,
    pub(crate) context: OpenContext,
    pub(crate) pool: Arc<Pool>,
    address: Address,
    library: OnceLock<redis::Client>,
    shared: Mutex<Option<Connection>>,
    connecting: tokio::sync::Mutex<()>,
    server: Mutex<Server>,
    closed: AtomicBool,
    pub(crate) closing: Notify,
    topics: Mutex<HashMap<StreamName, Topic>>,
    groups: Mutex<HashMap<(StreamName, GroupName, u32), Arc<Group>>>,
    consumers: Mutex<Vec<Weak<Consumer>>>,
    tasks: Mutex<JoinSet<()>>,
    pub(crate) recreated: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) reaped: AtomicU64,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(config: RedisStreamsConfig, context: OpenContext) -> Result<Self> {
        Ok(Self {
            address: config.address()?,
            pool: Arc::new(Pool::new(config.pool_size)),
            config,
            context,
            library: OnceLock::new(),
            shared: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            server: Mutex::default(),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            topics: Mutex::default(),
            groups: Mutex::default(),
            consumers: Mutex::default(),
            tasks: Mutex::default(),
            recreated: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            reaped: AtomicU64::new(0),
        })
    }

    /// Refuses a call after closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        Ok(())
    }

    /// The shared connection, opened if there is no live one.
    pub(crate) async fn shared(&self) -> Result<Connection> {
        self.check_open()?;
        self.shared_even_closed().await
    }

    /// The shared connection, also for giving back what a closed broker held.
    async fn shared_even_closed(&self) -> Result<Connection> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let manner = Manner {
            response_timeout: Some(self.config.response_timeout),
            connect_timeout: self.context.config.connect_timeout,
            events: Some(self.context.events.clone()),
        };
        let opened = Connection::open(self.library()?, manner)
            .await
            .map_err(|error| self.here(error))?;
        self.introduce(&opened).await.map_err(|error| self.here(error))?;
        *lock(&self.shared) = Some(opened.clone());
        self.context.events.send(BrokerEvent::Connected);
        Ok(opened)
    }

    /// A place among the blocking readers, with a live connection.
    pub(crate) async fn reading_place(&self) -> Result<Place> {
        let mut place = self.pool.place().await?;
        if !place.reuse() {
            let manner = Manner {
                response_timeout: None,
                connect_timeout: self.context.config.connect_timeout,
                events: None,
            };
            let opened = Connection::open(self.library()?, manner).await;
            place.fill(opened.map_err(|error| self.here(error))?);
        }
        Ok(place)
    }

    /// Sends one command on the shared connection.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value> {
        self.shared().await?.command(command).await
    }

    /// Sends commands on the shared connection in one piece; a refusal of one of them is its answer.
    pub(crate) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        self.shared().await?.pipeline(pipeline).await
    }

    /// Runs a script; a server that has forgotten it is taught again.
    pub(crate) async fn run(&self, script: &Script, call: &Cmd) -> Result<Value> {
        self.check_open()?;
        self.run_even_closed(script, call).await
    }

    /// Runs a script, also for giving back what a closed broker held.
    pub(crate) async fn run_even_closed(&self, script: &Script, call: &Cmd) -> Result<Value> {
        let shared = self.shared_even_closed().await?;
        match shared.ask(call).await? {
            Value::ServerError(refusal) if refusal.code() == "NOSCRIPT" => {
                shared.command(&script.load()).await?;
                shared.command(call).await
            }
            answer => reply::granted(answer),
        }
    }

    /// What the server told about itself when the connection was opened.
    pub(crate) fn server(&self) -> Server {
        lock(&self.server).clone()
    }

    /// Whether there is a live connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.live().is_some()
    }

    /// Where the server is, for people.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The stream's partitions; the first time, the stream is put into the index.
    pub(crate) async fn topic(&self, stream: &StreamName) -> Result<Topic> {
        if let Some(known) = lock(&self.topics).get(stream) {
            return Ok(Arc::clone(known));
        }
        let key = keys::partition_count(stream);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SADD").arg(STREAMS).arg(stream.as_str());
        if self.config.partitions > 1 {
            // A stream that is there keeps the number it was made with: a key must not change its partition.
            pipeline
                .cmd("SET")
                .arg(&key)
                .arg(self.config.partitions)
                .arg("NX");
        }
        pipeline.cmd("GET").arg(&key);
        let mut count = Value::Nil;
        for answer in self.pipeline(&pipeline).await? {
            count = reply::granted(answer)?;
        }
        let count = reply::count(&count)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1)
            .max(1);
        let partitions = (0..count).map(|number| Arc::new(StreamKeys::new(stream, number, count)));
        let topic: Topic = partitions.collect();
        let mut topics = lock(&self.topics);
        if topics.len() >= RESOLVED {
            topics.clear();
        }
        Ok(Arc::clone(topics.entry(stream.clone()).or_insert(topic)))
    }

    /// Forgets a stream that was removed, so that its next use puts it into the index again.
    pub(crate) fn forget_stream(&self, stream: &StreamName) {
        lock(&self.topics).remove(stream);
        lock(&self.groups).retain(|(name, _, _), _| name != stream);
    }

    /// What this process knows about a group of one partition.
    pub(crate) fn group(&self, stream: &StreamKeys, group: &GroupName) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        if groups.len() >= RESOLVED {
            groups.retain(|_, group| Arc::strong_count(group) > 1);
        }
        let entry = groups.entry((stream.name.clone(), group.clone(), stream.partition));
        Arc::clone(entry.or_insert_with(|| Arc::new(Group::new(stream, group))))
    }

    /// Tells the stream's readers of this process that something is due after `delay`.
    pub(crate) fn due_in(&self, stream: &StreamName, delay: Duration) {
        let groups = lock(&self.groups);
        for (_, group) in groups.iter().filter(|((name, _, _), _)| name == stream) {
            group.due_in(delay);
        }
    }

    /// Remembers a consumer, whose hands are emptied when the broker closes.
    pub(crate) fn add_consumer(&self, consumer: &Arc<Consumer>) {
        let mut consumers = lock(&self.consumers);
        consumers.retain(|consumer| consumer.strong_count() > 0);
        consumers.push(Arc::downgrade(consumer));
    }

    /// Runs `task` in the background, until [`close`](Self::close) waits for it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &runtime);
    }

    /// Wakes a connection that is blocked at the server; what it was given meanwhile is not lost.
    pub(crate) async fn unblock(&self, ids: &[i64]) {
        let Some(shared) = self.live() else {
            return;
        };
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids.iter().filter(|id| **id != 0) {
            pipeline.cmd("CLIENT").arg("UNBLOCK").arg(*id);
        }
        if !pipeline.is_empty() {
            // Where the right for it is missing, readers end with their slice.
            let _ = shared.pipeline(&pipeline).await;
        }
    }

    /// Wakes readers, empties their hands, and lets go of the connections.
    pub(crate) async fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.closing.notify_waiters();
        let consumers: Vec<_> = lock(&self.consumers)
            .drain(..)
            .filter_map(|consumer| consumer.upgrade())
            .collect();
        let empty = async {
            for consumer in consumers {
                consumer.leave().await;
            }
            let mut tasks = std::mem::take(&mut *lock(&self.tasks));
            while tasks.join_next().await.is_some() {}
        };
        // A server that is down must not hold up closing; what is left comes again when its lease ends.
        let _ = tokio::time::timeout(self.patience(), empty).await;
        self.pool.close();
        lock(&self.shared).take();
    }

    /// How long letting go may take.
    pub(crate) fn patience(&self) -> Duration {
        self.config.response_timeout.min(Duration::from_millis(1500))
    }

    fn live(&self) -> Option<Connection> {
        lock(&self.shared)
            .as_ref()
            .filter(|connection| !connection.is_lost())
            .cloned()
    }

    /// Teaches the scripts and asks what the server is.
    async fn introduce(&self, connection: &Connection) -> Result<()> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("INFO");
        for script in scripts::all() {
            pipeline.add_command(script.load());
        }
        let mut answers = connection.pipeline(&pipeline).await?.into_iter();
        let server = match answers.next() {
            Some(Value::VerbatimString { text, .. }) => Server::parse(&text),
            Some(answer) => {
                // Not loaded yet, or no longer the primary: neither is a server to work with.
                let answer = match reply::granted(answer) {
                    Err(error) if error::ends_connection(&error) => return Err(error),
                    Err(_) => Value::Nil,
                    Ok(answer) => answer,
                };
                Server::parse(reply::text(&answer).unwrap_or_default())
            }
            None => Server::default(),
        };
        for answer in answers {
            reply::granted(answer)?;
        }
        *lock(&self.server) = server;
        Ok(())
    }

    fn library(&self) -> Result<&redis::Client> {
        if self.library.get().is_none() {
            let built = self.build().map_err(|error| self.here(error))?;
            let _ = self.library.set(built);
        }
        self.library
            .get()
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the client library was not set up"))
    }

    fn build(&self) -> Result<redis::Client> {
        let (username, password) = self.config.credentials();
        let mut settings = RedisConnectionInfo::default()
            .set_db(i64::from(self.config.database()?))
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        if let Some(username) = username {
            settings = settings.set_username(username);
        }
        if let Some(password) = password {
            settings = settings.set_password(password.expose());
        }
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(self.config.keep_alive));
        let address = match &self.address {
            Address::Tcp {
                host,
                port,
                tls: false,
            } => ConnectionAddr::Tcp(host.clone(), *port),
            Address::Tcp {
                host,
                port,
                tls: true,
            } => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let secured = matches!(address, ConnectionAddr::TcpTls { .. });
        let info = address
            .into_connection_info()
            .map_err(error::connect)?
            .set_redis_settings(settings)
            .set_tcp_settings(tcp);
        if secured {
            return secure(info, &self.config);
        }
        redis::Client::open(info).map_err(error::connect)
    }

    /// Names the server; the address holds no secret.
    fn here(&self, error: Error) -> Error {
        error.with("server", &self.address)
    }
}

/// A client that speaks TLS.
#[cfg(feature = "tls")]
fn secure(info: ConnectionInfo, config: &RedisStreamsConfig) -> Result<redis::Client> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path)
            .map_err(|error| Error::config("tls", format!("{} can't be read: {error}", path.display())))
    };
    // Another crate of the program may have chosen a provider; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client_tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => Some(redis::ClientTlsConfig {
            client_cert: read(cert)?,
            client_key: read(key)?,
        }),
        _ => None,
    };
    let certificates = redis::TlsCertificates {
        client_tls,
        root_cert: config.tls_ca.as_ref().map(read).transpose()?,
    };
    redis::Client::build_with_tls(info, certificates)
        .map_err(|error| Error::config("tls", "the certificates are not usable").source(error.to_string()))
}

/// A client that speaks TLS, which this build has not; the settings were refused before.
#[cfg(not(feature = "tls"))]
fn secure(_: ConnectionInfo, _: &RedisStreamsConfig) -> Result<redis::Client> {
    Err(Error::config("tls", "this build is without the feature `tls`"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
