//! The servers behind one opened broker.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::{EventSender, OpenContext};
use broker_core::{Error, ErrorKind, Result, Retry};
use redis::aio::PubSub;
use redis::{Cmd, Pipeline, Value};

use crate::connection::Connection;
use crate::nodes::{Nodes, Way};
use crate::place::Place;
use crate::pool::Pool;
use crate::redirect::Redirect;
use crate::script::{Call, Script};
use crate::server::Server;
use crate::{ConnectionSettings, error, reply};

/// The servers behind one opened broker: one shared connection to each, and a pool for readers that block.
pub struct Redis {
    settings: ConnectionSettings,
    /// The package that connects, as the server lists it.
    name: &'static str,
    connect_timeout: Duration,
    events: EventSender,
    /// What each server is taught when it is connected to.
    lessons: Vec<Cmd>,
    nodes: Nodes,
    way: Way,
    pool: Pool,
    server: Mutex<Server>,
    closed: AtomicBool,
}

impl Redis {
    /// Servers that are not connected to yet; each will be taught `scripts`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) where the settings contradict each other.
    pub fn new<'a>(
        settings: ConnectionSettings,
        context: &OpenContext,
        name: &'static str,
        scripts: impl IntoIterator<Item = &'a Script>,
    ) -> Result<Self> {
        let nodes = Nodes::default();
        Ok(Self {
            way: Way::new(settings.topology()?, &nodes),
            nodes,
            pool: Pool::new(settings.pool_size),
            settings,
            name,
            connect_timeout: context.config.connect_timeout,
            events: context.events.clone(),
            lessons: scripts.into_iter().map(Script::load).collect(),
            server: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Refuses a call after closing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`](broker_core::ErrorKind::Closed).
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        Ok(())
    }

    /// Connects if there is no live connection.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn connect(&self) -> Result<()> {
        self.check_open()?;
        self.way.node(self, None).await?.shared(self).await.map(drop)
    }

    /// Sends one command; a refusal by the server is an error.
    ///
    /// # Errors
    ///
    /// The server's refusal, or that it was not reached.
    pub async fn command(&self, command: &Cmd) -> Result<Value> {
        self.check_open()?;
        reply::granted(self.ask(command).await?)
    }

    /// Sends commands in one piece; a refusal of one of them is its answer.
    ///
    /// # Errors
    ///
    /// That the server was not reached.
    pub async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        self.check_open()?;
        self.pipeline_even_closed(pipeline).await
    }

    /// Runs a script; a server that has forgotten it is taught again.
    ///
    /// # Errors
    ///
    /// The server's refusal, or that it was not reached.
    pub async fn run(&self, script: &Script, call: &Cmd) -> Result<Value> {
        self.check_open()?;
        self.run_even_closed(script, call).await
    }

    /// Runs a script's call.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn call(&self, call: &Call<'_>) -> Result<Value> {
        self.run(call.script(), &call.command()).await
    }

    /// Runs a script, also for giving back what a closed broker held.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_even_closed(&self, script: &Script, call: &Cmd) -> Result<Value> {
        match self.ask(call).await? {
            Value::ServerError(refusal) if refusal.code() == "NOSCRIPT" => {
                let mut again = Pipeline::with_capacity(2);
                again.add_command(script.load());
                again.add_command(call.clone());
                let answer = self.pipeline_even_closed(&again).await?.pop();
                reply::granted(answer.ok_or_else(|| error::odd_reply("EVALSHA"))?)
            }
            answer => reply::granted(answer),
        }
    }

    /// Runs a script's call on the connection that the next blocking reader of `key`'s node takes, so that both travel
    /// together.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_ahead(&self, key: &str, script: &Script, call: &Cmd) -> Result<Value> {
        self.check_open()?;
        let node = self.way.node(self, Some(key)).await?;
        match self
            .pool
            .ask_ahead(node.number, call, self.settings.response_timeout)
            .await
        {
            Some(Ok(Value::ServerError(refusal))) if refusal.code() == "NOSCRIPT" => {
                self.run(script, call).await
            }
            Some(Ok(answer)) if Redirect::of(&answer).is_none() => reply::granted(answer),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => self.run(script, call).await,
        }
    }

    /// Runs a command on the connection that the next blocking reader takes, unless `key` has changed since that
    /// connection began to watch it in this version. Answers `None` where nothing was done, for whatever reason.
    ///
    /// # Errors
    ///
    /// That the server was not reached: the command may or may not have run.
    pub async fn transact_ahead(&self, key: &str, version: u32, command: Cmd) -> Result<Option<Value>> {
        self.check_open()?;
        let mut transaction = Pipeline::with_capacity(3);
        transaction.cmd("MULTI");
        transaction.add_command(command);
        transaction.cmd("EXEC");
        let node = self.way.node(self, Some(key)).await?.number;
        let deadline = self.settings.response_timeout;
        let answers = self
            .pool
            .transact_ahead(node, key, version, &transaction, deadline)
            .await;
        Ok(match answers.transpose()?.and_then(|mut answers| answers.pop()) {
            Some(Value::Array(mut answers)) => answers.pop(),
            _ => None,
        })
    }

    /// A blocking reader's place at the node that holds `key`.
    ///
    /// # Errors
    ///
    /// That the node was not reached, or that the broker is closed.
    pub async fn place(self: &Arc<Self>, key: &str) -> Result<Place> {
        self.place_watching(key, None).await
    }

    /// As [`place`](Self::place), best with the connection that watches `watched`.
    ///
    /// # Errors
    ///
    /// As [`place`](Self::place).
    pub async fn place_watching(self: &Arc<Self>, key: &str, watched: Option<&str>) -> Result<Place> {
        let permit = self.pool.turn().await?;
        self.check_open()?;
        let node = self.way.node(self, Some(key)).await?;
        let connection = match self.pool.take_idle(node.number, watched) {
            Some(idle) => idle,
            None => node.blocking(self).await?,
        };
        Ok(Place::new(Arc::clone(self), node, connection, permit))
    }

    /// How long a reader may block, so that those who wait for a place get their turn.
    #[must_use]
    pub fn slice(&self, longest: Duration) -> Duration {
        self.pool.slice(longest)
    }

    /// Wakes readers that are blocked at the server, by their tickets; what they were given meanwhile is not lost.
    pub async fn unblock(&self, tickets: &[i64]) {
        for node in self.nodes.all() {
            let ids = tickets.iter().filter_map(|ticket| node.id_of(*ticket));
            let mut pipeline = Pipeline::new();
            for id in ids {
                pipeline.cmd("CLIENT").arg("UNBLOCK").arg(id);
            }
            if let Some(shared) = node.live().filter(|_| !pipeline.is_empty()) {
                // Where the right for it is missing, readers end with their slice.
                let _ = shared.pipeline(&pipeline).await;
            }
        }
    }

    /// A connection of its own for listening to channels.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn listening(&self) -> Result<PubSub> {
        self.check_open()?;
        let mut nodes = match &self.way {
            // Each node of a cluster hears what is published at any.
            Way::Cluster(cluster) => {
                cluster.node(self, None).await?;
                cluster.masters()
            }
            way => vec![way.node(self, None).await?],
        };
        let mut outcome = Err(Error::closed());
        nodes.sort_by_key(|node| node.live().is_none());
        for node in nodes {
            outcome = node.listening(self).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// What the server told about itself when it was connected to.
    #[must_use]
    pub fn server(&self) -> Server {
        self.known().clone()
    }

    /// Whether there is a live connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.nodes.all().iter().any(|node| node.live().is_some())
    }

    /// Where the server is, for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.way.to_string()
    }

    /// How long the server may take to answer.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.settings.response_timeout
    }

    /// Refuses further calls; those that end what was begun may go on. Answers whether it was open.
    pub fn refuse(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Refuses further calls, and lets all connections go.
    pub fn close(&self) {
        self.refuse();
        self.pool.close();
        for node in self.nodes.all() {
            node.leave();
        }
    }

    /// Where events go.
    #[must_use]
    pub fn events(&self) -> &EventSender {
        &self.events
    }

    pub(crate) fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn learn_server(&self, server: Server) {
        *self.known() = server;
    }

    /// Teaches the scripts and asks what the server is.
    pub(crate) async fn introduce(&self, connection: &Connection) -> Result<Server> {
        let mut pipeline = Pipeline::with_capacity(1 + self.lessons.len());
        pipeline.cmd("INFO");
        for lesson in &self.lessons {
            pipeline.add_command(lesson.clone());
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
        if server.is_replica() && matches!(self.way, Way::Primary(_)) {
            return Err(Error::new(
                ErrorKind::Connection,
                "the Sentinel still names a server that is a replica",
            )
            .retry(Retry::Safe));
        }
        Ok(server)
    }

    /// Sends one command, also of a closed broker; a refusal by the server is an answer.
    async fn ask(&self, command: &Cmd) -> Result<Value> {
        self.way.ask(self, command).await
    }

    async fn pipeline_even_closed(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        self.way.pipeline(self, pipeline).await
    }

    fn known(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
