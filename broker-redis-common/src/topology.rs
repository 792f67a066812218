//! How many servers there are, and who tells where.

use broker_core::config::BrokerUrl;
use broker_core::{Error, Result};

use crate::ConnectionSettings;
use crate::address::Address;

/// The port of a server that names none.
const PORT: u16 = 6379;

/// The port of a Sentinel that names none.
const SENTINEL_PORT: u16 = 26_379;

/// How many servers there are, and who tells where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    One(Address),
    /// The primary of this name, which Sentinels know the place of.
    Sentinel { master: String, sentinels: Vec<Address> },
    /// A cluster, some of whose nodes are here.
    Cluster(Vec<Address>),
}

impl ConnectionSettings {
    /// Whether the servers are a cluster.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) where the settings contradict each other.
    pub fn is_cluster(&self) -> Result<bool> {
        Ok(matches!(self.topology()?, Topology::Cluster(_)))
    }

    /// Where the servers are.
    pub(crate) fn topology(&self) -> Result<Topology> {
        if let Some(socket) = self.socket_path()? {
            if self.cluster || self.sentinel.is_some() || !self.hosts.is_empty() {
                return Err(Error::config(
                    "socket",
                    "a socket is one server's; it goes without `cluster`, `sentinel` and `hosts`",
                ));
            }
            return Ok(Topology::One(Address::Unix(socket)));
        }
        let written = self.written()?;
        if let Some(sentinel) = &self.sentinel {
            if self.cluster {
                return Err(Error::config(
                    "cluster and sentinel",
                    "a cluster fails over by itself; set one of the two",
                ));
            }
            if sentinel.master.is_empty() {
                return Err(Error::config(
                    "sentinel",
                    "the name of the primary is missing, such as `mymaster`",
                ));
            }
            let hosts = match sentinel.hosts.is_empty() {
                true => written,
                false => parse_hosts("sentinel.hosts", &sentinel.hosts)?,
            };
            return Ok(Topology::Sentinel {
                master: sentinel.master.clone(),
                sentinels: self.addresses(hosts, SENTINEL_PORT),
            });
        }
        let mut addresses = self.addresses(written, PORT);
        if self.cluster || addresses.len() > 1 {
            if self.database()? != 0 {
                return Err(Error::config("db", "a cluster has the database 0 only"));
            }
            return Ok(Topology::Cluster(addresses));
        }
        match addresses.pop() {
            Some(address) => Ok(Topology::One(address)),
            None => Err(Error::config("uri", "a host is expected")),
        }
    }

    /// The hosts as they are written: by `hosts`, by `host` and `port`, or in the URI.
    fn written(&self) -> Result<Vec<(String, Option<u16>)>> {
        let of_uri = self.uri.as_ref().map_or(&[][..], BrokerUrl::hosts);
        if self.hosts.is_empty() {
            let one = self.host.is_some() || self.port.is_some();
            if one && of_uri.len() > 1 {
                return Err(Error::config(
                    "host and port",
                    "the URI has several hosts already; keep one of the two",
                ));
            }
            if !one && !of_uri.is_empty() {
                return Ok(of_uri.to_vec());
            }
            let (host, port) = of_uri.first().cloned().unwrap_or_default();
            return Ok(vec![(self.host.clone().unwrap_or(host), self.port.or(port))]);
        }
        if self.host.is_some() || self.port.is_some() {
            return Err(Error::config(
                "hosts",
                "`host` and `port` are set too; keep one of the two",
            ));
        }
        parse_hosts("hosts", &self.hosts)
    }

    fn addresses(&self, hosts: Vec<(String, Option<u16>)>, port: u16) -> Vec<Address> {
        let address = |(host, own): (String, Option<u16>)| Address::Tcp {
            host: match host.is_empty() {
                true => "localhost".to_owned(),
                false => host,
            },
            port: own.unwrap_or(port),
            tls: self.speaks_tls(),
        };
        hosts.into_iter().map(address).collect()
    }
}

fn parse_hosts(place: &'static str, hosts: &[String]) -> Result<Vec<(String, Option<u16>)>> {
    let mut parsed = Vec::with_capacity(hosts.len());
    for host in hosts {
        let refused = || {
            Error::config(
                place,
                format!("`{host}` is not a host; write `host` or `host:port`"),
            )
        };
        if host.contains(['/', '@', '?', ',']) {
            return Err(refused());
        }
        let url = BrokerUrl::parse(&format!("redis://{host}")).map_err(|_| refused())?;
        parsed.push(url.hosts().first().cloned().ok_or_else(refused)?);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sentinel;

    fn of(uri: &str) -> ConnectionSettings {
        ConnectionSettings {
            uri: Some(BrokerUrl::parse(uri).unwrap()),
            ..ConnectionSettings::default()
        }
    }

    fn names(topology: &Topology) -> Vec<String> {
        let addresses = match topology {
            Topology::One(address) => std::slice::from_ref(address),
            Topology::Sentinel { sentinels: many, .. } | Topology::Cluster(many) => many,
        };
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_host_is_one_server_and_several_are_a_cluster() {
        let one = of("redis://h").topology().unwrap();
        assert_eq!(
            one,
            ConnectionSettings {
                host: Some("h".into()),
                ..Default::default()
            }
            .topology()
            .unwrap()
        );
        assert_eq!(names(&one), ["h:6379"]);
        assert_eq!(
            names(&ConnectionSettings::default().topology().unwrap()),
            ["localhost:6379"]
        );
        let several = of("redis://a:7000,b").topology().unwrap();
        assert!(matches!(several, Topology::Cluster(_)));
        assert_eq!(names(&several), ["a:7000", "b:6379"]);
        let hosts = ConnectionSettings {
            hosts: vec!["a:7000".into(), "[::1]:7001".into()],
            ..Default::default()
        };
        assert_eq!(names(&hosts.topology().unwrap()), ["a:7000", "[::1]:7001"]);
        let alone = ConnectionSettings {
            cluster: true,
            ..of("redis://h")
        };
        assert!(matches!(alone.topology().unwrap(), Topology::Cluster(_)));
    }

    #[test]
    fn the_hosts_of_a_sentinel_are_sentinels() {
        let named = ConnectionSettings {
            sentinel: Some(Sentinel {
                master: "m".into(),
                ..Default::default()
            }),
            ..of("redis://a,b:7/2")
        };
        assert_eq!(names(&named.topology().unwrap()), ["a:26379", "b:7"]);
        let listed = ConnectionSettings {
            sentinel: Some(Sentinel {
                master: "m".into(),
                hosts: vec!["s".into()],
                ..Default::default()
            }),
            ..of("redis://a/2")
        };
        assert_eq!(names(&listed.topology().unwrap()), ["s:26379"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_place() {
        let sentinel = |master: &str| {
            Some(Sentinel {
                master: master.into(),
                ..Default::default()
            })
        };
        for (settings, line) in [
            (
                ConnectionSettings {
                    cluster: true,
                    sentinel: sentinel("m"),
                    ..of("redis://h")
                },
                "cluster and sentinel: a cluster fails over by itself; set one of the two",
            ),
            (
                ConnectionSettings {
                    sentinel: sentinel(""),
                    ..of("redis://h")
                },
                "sentinel: the name of the primary is missing, such as `mymaster`",
            ),
            (of("redis://a,b/1"), "db: a cluster has the database 0 only"),
            (
                ConnectionSettings {
                    cluster: true,
                    ..of("redis+unix:///run/r.sock")
                },
                "socket: a socket is one server's; it goes without `cluster`, `sentinel` and `hosts`",
            ),
            (
                ConnectionSettings {
                    port: Some(1),
                    ..of("redis://a,b")
                },
                "host and port: the URI has several hosts already; keep one of the two",
            ),
            (
                ConnectionSettings {
                    host: Some("c".into()),
                    hosts: vec!["a".into()],
                    ..of("redis://b")
                },
                "hosts: `host` and `port` are set too; keep one of the two",
            ),
            (
                ConnectionSettings {
                    hosts: vec!["redis://a".into()],
                    ..Default::default()
                },
                "hosts: `redis://a` is not a host; write `host` or `host:port`",
            ),
            (
                ConnectionSettings {
                    hosts: vec!["a:x".into()],
                    ..Default::default()
                },
                "hosts: `a:x` is not a host; write `host` or `host:port`",
            ),
        ] {
            let refusal = settings.check().unwrap_err().to_string();
            assert!(refusal.contains(line), "{refusal}");
        }
    }
}
