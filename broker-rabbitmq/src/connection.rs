//! One connection to the server, which is made when it is needed and anew when it was lost.

use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{BrokerEvent, Error, ErrorKind, Result, Retry};
use futures_util::StreamExt;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::client::lock;
use crate::config::RabbitMqConfig;
use crate::error;

/// A connection that lives.
pub(crate) struct Live {
    connection: Connection,
    /// Why the server takes no messages at the moment: it lacks memory or disk.
    blocked: watch::Receiver<Option<String>>,
    watcher: AbortHandle,
}

impl Live {
    pub(crate) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// A channel of its own.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        let channel = self.connection.create_channel().await;
        channel.map_err(|error| error::from_lapin(&error))
    }

    /// Waits until the server takes messages.
    pub(crate) async fn unblocked(&self) {
        let mut blocked = self.blocked.clone();
        // That the watcher is gone is for the call that follows to find out.
        let _ = blocked.wait_for(Option::is_none).await;
    }

    fn why_blocked(&self) -> Option<String> {
        self.blocked.borrow().clone()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The place of one connection.
pub(crate) struct Link {
    /// What it is for, as the server shows it.
    purpose: &'static str,
    /// Whether its coming and going is that of the broker, as its users see it.
    tells: bool,
    current: Mutex<Option<Arc<Live>>>,
    dialing: tokio::sync::Mutex<()>,
    closed: AtomicBool,
}

impl Link {
    pub(crate) fn new(purpose: &'static str, tells: bool) -> Self {
        Self {
            purpose,
            tells,
            current: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// The connection, if there is one that lives.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        lock(&self.current).as_ref().filter(|live| live.is_up()).cloned()
    }

    /// Why the server takes no messages here.
    pub(crate) fn blocked(&self) -> Option<String> {
        self.live().and_then(|live| live.why_blocked())
    }

    /// The connection, made if need be.
    pub(crate) async fn connect(&self, config: &RabbitMqConfig, context: &OpenContext) -> Result<Arc<Live>> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let _turn = self.dialing.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let mut attempt = 1;
        let live = loop {
            match self.dial_any(config, context).await {
                Err(error) if error.is_retryable() && attempt < config.connection_attempts => {
                    attempt += 1;
                    tokio::time::sleep(config.connection_retry_delay).await;
                }
                answer => break Arc::new(answer?),
            }
        };
        *lock(&self.current) = Some(Arc::clone(&live));
        if self.tells {
            context.events.send(BrokerEvent::Connected);
        }
        Ok(live)
    }

    /// Tries the servers in turn.
    async fn dial_any(&self, config: &RabbitMqConfig, context: &OpenContext) -> Result<Live> {
        let mut failed = None;
        for (host, port) in config.servers() {
            match self.dial(config, context, &host, port).await {
                Ok(live) => return Ok(live),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::config("uri", "it names no server")))
    }

    async fn dial(
        &self,
        config: &RabbitMqConfig,
        context: &OpenContext,
        host: &str,
        port: u16,
    ) -> Result<Live> {
        let server = format!("{host}:{port}");
        let (uri, tls) = (uri(config, host, port), tls(config)?);
        let name = format!("broker {} {}", context.name, self.purpose);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| error::from_lapin(&error))?;
        let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
        let connection = tokio::time::timeout(context.config.connect_timeout, connecting)
            .await
            .map_err(|_| silent(&server, context.config.connect_timeout))?
            .map_err(|error| error::connecting(&error, &server))?;
        let (sender, blocked) = watch::channel(None);
        let mut events = Box::pin(connection.events_listener());
        let (told, tells) = (context.events.clone(), self.tells);
        let watching = async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => drop(sender.send(Some(reason))),
                    Event::ConnectionUnblocked => drop(sender.send(None)),
                    // One of a channel leaves the connection as it is, and is for that channel's user to tell.
                    Event::Error(error) if tells && !is_channels(&error) => {
                        let reason = error.to_string().replace(char::is_control, " ");
                        told.send(BrokerEvent::Disconnected { reason });
                    }
                    _ => {}
                }
            }
        };
        Ok(Live {
            connection,
            blocked,
            watcher: tokio::spawn(watching).abort_handle(),
        })
    }

    /// Ends the connection for good.
    pub(crate) async fn close(&self, within: Duration) {
        self.closed.store(true, Ordering::Release);
        let live = lock(&self.current).take();
        if let Some(live) = live.filter(|live| live.is_up()) {
            let closing = live.connection.close(200, "bye".into());
            // A server that does not answer finds out by itself.
            let _ = tokio::time::timeout(within, closing).await;
        }
    }
}

fn is_channels(error: &lapin::Error) -> bool {
    use lapin::protocol::AMQPErrorKind;
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)))
}

fn silent(server: &str, waited: Duration) -> Error {
    Error::new(
        ErrorKind::Connection,
        format!("the server did not answer within {waited:?} (connect_timeout)"),
    )
    .retry(Retry::Safe)
    .with("server", server)
}

fn uri(config: &RabbitMqConfig, host: &str, port: u16) -> AMQPUri {
    let (username, password) = config.credentials();
    AMQPUri {
        scheme: if config.is_tls() {
            AMQPScheme::AMQPS
        } else {
            AMQPScheme::AMQP
        },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: username.to_owned(),
                password: password.to_owned(),
            },
            host: host.to_owned(),
            port,
        },
        vhost: config.vhost().to_owned(),
        query: AMQPQueryString {
            heartbeat: u16::try_from(config.heartbeat.as_secs()).ok(),
            ..AMQPQueryString::default()
        },
    }
}

fn tls(config: &RabbitMqConfig) -> Result<OwnedTLSConfig> {
    let read = |key: &'static str, path: &String| {
        fs::read(path).map_err(|error| Error::config(key, format!("`{path}` can't be read: {error}")))
    };
    let identity = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => Some(OwnedIdentity::PKCS8 {
            pem: read("tls_cert", cert)?,
            key: read("tls_key", key)?,
        }),
        _ => None,
    };
    let chain = config.tls_ca.as_ref().map(|path| {
        let pem = String::from_utf8(read("tls_ca", path)?);
        pem.map_err(|_| Error::config("tls_ca", format!("`{path}` is not PEM")))
    });
    Ok(OwnedTLSConfig {
        identity,
        cert_chain: chain.transpose()?,
    })
}
