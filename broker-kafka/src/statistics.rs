//! What the client library tells of itself, for health and metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use broker_core::base::HealthReport;
use serde::Deserialize;

use crate::client::lock;

/// The last that each of a broker's library clients told of itself.
#[derive(Default)]
pub(crate) struct Statistics(Mutex<BTreeMap<String, Told>>);

/// What a library client tells of itself; the library's document `STATISTICS.md` has all of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// Messages that wait to be sent, or to be confirmed.
    pub(crate) msg_cnt: u64,
    /// Their bytes.
    pub(crate) msg_size: u64,
    brokers: HashMap<String, Node>,
}

/// One connection to a server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    nodeid: i32,
    state: String,
    txbytes: u64,
    rxbytes: u64,
    req_timeouts: u64,
    rtt: Span,
    throttle: Span,
}

/// The spread of a time, over the last interval.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Span {
    cnt: u64,
    p50: u64,
    p99: u64,
}

/// The servers as one client sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Servers {
    /// Connections that are up.
    pub(crate) up: u64,
    /// Connections that were lost, or can't be made.
    pub(crate) down: u64,
    /// The usual round trip to the slowest server, in seconds.
    pub(crate) round_trip: f64,
    /// What one in a hundred round trips takes there at least, in seconds.
    pub(crate) round_trip_p99: f64,
    /// How long the servers make this client wait, in seconds.
    pub(crate) throttled: f64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Requests that nobody answered.
    pub(crate) timeouts: u64,
}

impl Told {
    /// Over all servers. One that was never needed counts neither as up nor as down.
    pub(crate) fn servers(&self) -> Servers {
        let mut sum = Servers::default();
        #[expect(clippy::cast_precision_loss, reason = "no such time is that long")]
        let seconds = |of: u64, each: f64| of as f64 * each;
        for node in self.brokers.values().filter(|node| node.nodeid >= 0) {
            match node.state.as_str() {
                "UP" | "UPDATE" => sum.up += 1,
                "INIT" => {}
                _ => sum.down += 1,
            }
            if node.rtt.cnt > 0 {
                sum.round_trip = sum.round_trip.max(seconds(node.rtt.p50, 1e-6));
                sum.round_trip_p99 = sum.round_trip_p99.max(seconds(node.rtt.p99, 1e-6));
            }
            sum.throttled = sum.throttled.max(seconds(node.throttle.p99, 1e-3));
            sum.bytes_sent += node.txbytes;
            sum.bytes_received += node.rxbytes;
            sum.timeouts += node.req_timeouts;
        }
        sum
    }
}

impl Statistics {
    /// Takes in what the client of that name tells, as the library writes it.
    pub(crate) fn take(&self, name: &str, text: &[u8]) {
        match serde_json::from_slice::<Told>(text) {
            Ok(told) => {
                measure(name, &told);
                lock(&self.0).insert(name.to_owned(), told);
            }
            Err(error) => tracing::debug!(%error, "the library's statistics can't be read"),
        }
    }

    /// The client of that name is gone.
    pub(crate) fn forget(&self, name: &str) {
        lock(&self.0).remove(name);
    }

    /// Adds to a health report.
    pub(crate) fn describe(&self, report: &mut HealthReport) {
        for (name, told) in lock(&self.0).iter() {
            let servers = told.servers();
            let mut line = format!(
                "{} connections up, {} down, round trip {:.1} ms, p99 {:.1} ms",
                servers.up,
                servers.down,
                servers.round_trip * 1e3,
                servers.round_trip_p99 * 1e3,
            );
            if name == PRODUCER {
                line.push_str(&format!(
                    ", {} messages of {} bytes on their way",
                    told.msg_cnt, told.msg_size
                ));
            }
            report.details.push((format!("librdkafka {name}"), line));
            if servers.throttled > 0.0 {
                report.warnings.push(format!(
                    "{name}: the servers hold this client back for {:.1}s, by a quota",
                    servers.throttled
                ));
            }
        }
    }
}

/// The name of the client that publishes.
pub(crate) const PRODUCER: &str = "producer";

/// Tells the facade `metrics`.
#[cfg(feature = "metrics")]
fn measure(name: &str, told: &Told) {
    use metrics::{counter, gauge};
    let servers = told.servers();
    let name = || name.to_owned();
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    for (metric, value) in [
        ("broker_kafka_connections_up", servers.up as f64),
        ("broker_kafka_connections_down", servers.down as f64),
        ("broker_kafka_round_trip_seconds", servers.round_trip),
        ("broker_kafka_round_trip_p99_seconds", servers.round_trip_p99),
        ("broker_kafka_throttled_seconds", servers.throttled),
        ("broker_kafka_send_buffer_messages", told.msg_cnt as f64),
        ("broker_kafka_send_buffer_bytes", told.msg_size as f64),
    ] {
        gauge!(metric, "client" => name()).set(value);
    }
    for (metric, value) in [
        ("broker_kafka_sent_bytes_total", servers.bytes_sent),
        ("broker_kafka_received_bytes_total", servers.bytes_received),
        ("broker_kafka_request_timeouts_total", servers.timeouts),
    ] {
        counter!(metric, "client" => name()).absolute(value);
    }
}

/// This build is without metrics.
#[cfg(not(feature = "metrics"))]
fn measure(_name: &str, _told: &Told) {}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"name":"rdkafka#producer-1","msg_cnt":3,"msg_size":300,"txmsgs":7,"brokers":{
        "one:9092/1":{"nodeid":1,"state":"UP","txbytes":100,"rxbytes":20,"req_timeouts":1,"rtt":{"cnt":9,"p50":1500,"p99":8000}},
        "two:9092/2":{"nodeid":2,"state":"TRY_CONNECT","txbytes":1,"rxbytes":2,"throttle":{"cnt":1,"p99":2500}},
        "three:9092/3":{"nodeid":3,"state":"INIT"},
        "one:9092/bootstrap":{"nodeid":-1,"state":"UP","txbytes":5}}}"#;

    #[test]
    fn health_tells_how_the_servers_are_seen() {
        let statistics = Statistics::default();
        statistics.take(PRODUCER, TEXT.as_bytes());
        statistics.take("broken", b"{");
        let mut report = HealthReport::default();
        statistics.describe(&mut report);
        let line =
            "1 connections up, 1 down, round trip 1.5 ms, p99 8.0 ms, 3 messages of 300 bytes on their way";
        assert_eq!(
            report.details,
            [("librdkafka producer".to_owned(), line.to_owned())]
        );
        assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
        statistics.forget(PRODUCER);
        let mut report = HealthReport::default();
        statistics.describe(&mut report);
        assert_eq!(report, HealthReport::default());
    }
}
