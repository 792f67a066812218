//! Sentinels, which know where the primary is.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_core::{Error, ErrorKind, Result, Retry, Secret};
use redis::{ProtocolVersion, RedisConnectionInfo, Value};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::address::Address;
use crate::connection::{Connection, Manner};
use crate::node::Node;
use crate::{Redis, library, reply};

/// The setting `sentinel`: the primary's name, or a table with the name and more.
#[derive(Clone, Debug, Default)]
pub struct Sentinel {
    /// The name by which the Sentinels know the primary.
    pub master: String,
    /// The Sentinels, as `host` or `host:port`; without any, the hosts of the connection are the Sentinels.
    pub hosts: Vec<String>,
    /// The Sentinels' own ACL user.
    pub username: Option<String>,
    /// The Sentinels' own password.
    pub password: Option<Secret>,
}

/// The setting as a table.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Table {
    /// The name by which the Sentinels know the primary.
    master: String,
    /// The Sentinels, as `host` or `host:port`; without any, the hosts of the connection are the Sentinels.
    #[serde(default)]
    hosts: Vec<String>,
    /// The Sentinels' own ACL user.
    username: Option<String>,
    /// The Sentinels' own password.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    password: Option<Secret>,
}

impl<'de> Deserialize<'de> for Sentinel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Sentinel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the primary's name, or a table with `master` and `hosts`")
            }

            fn visit_str<E>(self, master: &str) -> std::result::Result<Sentinel, E> {
                Ok(Sentinel {
                    master: master.to_owned(),
                    ..Sentinel::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Sentinel, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Sentinel {
                    master: table.master,
                    hosts: table.hosts,
                    username: table.username,
                    password: table.password,
                })
            }
        }
        deserializer.deserialize_any(Written)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Sentinel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sentinel".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The primary's name, or a table with the name and more.",
            "anyOf": [{ "type": "string" }, generator.subschema_for::<Table>()],
        })
    }
}

/// The primary, wherever the Sentinels say it is.
pub(crate) struct Primary {
    sentinels: Vec<Address>,
    master: String,
    current: Mutex<Option<Arc<Node>>>,
    asking: tokio::sync::Mutex<()>,
}

impl Primary {
    pub(crate) fn new(master: String, sentinels: Vec<Address>) -> Self {
        Self {
            sentinels,
            master,
            current: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The primary, with a live shared connection.
    pub(crate) async fn node(&self, redis: &Redis) -> Result<Arc<Node>> {
        if let Some(current) = self.live() {
            return Ok(current);
        }
        let _one_at_a_time = self.asking.lock().await;
        if let Some(current) = self.live() {
            return Ok(current);
        }
        let node = redis.nodes().at(self.ask(redis).await?);
        // Connecting looks at its role: a Sentinel may be behind.
        node.shared(redis).await?;
        *self.current() = Some(Arc::clone(&node));
        Ok(node)
    }

    /// The primary that was last connected to.
    pub(crate) fn known(&self) -> Option<Arc<Node>> {
        self.current().clone()
    }

    fn live(&self) -> Option<Arc<Node>> {
        self.known().filter(|node| node.live().is_some())
    }

    /// Asks one Sentinel after the other; the first that knows the primary is believed.
    async fn ask(&self, redis: &Redis) -> Result<Address> {
        let mut failure = None;
        for sentinel in &self.sentinels {
            match self.ask_one(redis, sentinel).await {
                Ok(address) => return Ok(address),
                Err(error) => failure = Some(error.with("sentinel", sentinel)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::config("sentinel", "no Sentinel is named")))
    }

    async fn ask_one(&self, redis: &Redis, sentinel: &Address) -> Result<Address> {
        let settings = redis.settings();
        let own = settings.sentinel.as_ref();
        let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(username) = own.and_then(|own| own.username.as_deref()) {
            login = login.set_username(username);
        }
        if let Some(password) = own.and_then(|own| own.password.as_ref()) {
            login = login.set_password(password.expose());
        }
        let library = library::client(settings, sentinel, login)?;
        let manner = Manner {
            response_timeout: Some(redis.connect_timeout()),
            connect_timeout: redis.connect_timeout(),
            events: None,
        };
        let connection = Connection::open(&library, manner).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answer = connection.command(&question).await.map_err(safe)?;
        let Value::Array(parts) = &answer else {
            return Err(Error::new(
                ErrorKind::Connection,
                format!("the Sentinel knows no primary called `{}`", self.master),
            )
            .retry(Retry::Safe));
        };
        let (host, port) = (
            parts.first().and_then(reply::text),
            parts.get(1).and_then(reply::number),
        );
        match (host, port.and_then(|port| u16::try_from(port).ok())) {
            (Some(host), Some(port)) => Ok(Address::Tcp {
                host: host.to_owned(),
                port,
                tls: settings.speaks_tls(),
            }),
            _ => Err(crate::error::odd_reply("SENTINEL GET-MASTER-ADDR-BY-NAME")),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Node>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(node) => write!(f, "{} ({})", self.master, node.address),
            None => f.write_str(&self.master),
        }
    }
}

/// Nothing was asked of the primary yet.
fn safe(error: Error) -> Error {
    match error.retry_class() {
        Retry::Unknown => error.retry(Retry::Safe),
        _ => error,
    }
}
