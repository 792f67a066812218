//! The settings as the client library reads them.

use std::path::Path;
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::choices::{Acks, Assignment, Compression, Isolation, OffsetReset, SaslMechanism};
use crate::config::KafkaConfig;
use crate::tls;

/// What a message may have beside its payload: key, headers, and what the log adds.
const BESIDE_PAYLOAD: usize = 256 * 1024;

/// The library keeps as much as 400 bytes beside each message, which its bound by bytes leaves out: of small messages it
/// fetches no more ahead than its buffer has room for at this size.
const QUEUED_MESSAGE: u64 = 256;

/// Between two looks at what a server that has nothing may have.
const FETCH_BACKOFF: &str = "5";

/// The settings of each kind of client, checked by the library itself.
#[derive(Clone)]
pub(crate) struct Native {
    /// For asking: metadata, offsets, groups.
    pub(crate) common: ClientConfig,
    pub(crate) producer: ClientConfig,
    /// Without its group.
    pub(crate) consumer: ClientConfig,
    /// The largest message with all that belongs to it.
    pub(crate) max_message: usize,
}

impl Native {
    /// Translates the settings, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) with the key that the library refuses.
    pub(crate) fn new(config: &KafkaConfig, context: &OpenContext) -> Result<Self> {
        tls::prepare();
        let max_message = context.config.max_payload.saturating_add(BESIDE_PAYLOAD);
        // The library's own bound.
        let max_message = max_message.clamp(1000, 1_000_000_000);
        let mut common = ClientConfig::new();
        common.set("bootstrap.servers", config.servers());
        common.set("client.id", context.consumer.as_str());
        common.set("message.max.bytes", max_message.to_string());
        common.set("reconnect.backoff.ms", "50");
        common.set("reconnect.backoff.max.ms", "1000");
        common.set("socket.keepalive.enable", "true");
        common.set("socket.timeout.ms", millis(config.response_timeout));
        common.set("api.version.request.timeout.ms", millis(config.response_timeout));
        common.set(
            "socket.connection.setup.timeout.ms",
            millis(context.config.connect_timeout.max(Duration::from_secs(1))),
        );
        security(config, &mut common);

        let mut producer = common.clone();
        let delivery = config
            .delivery_timeout
            .unwrap_or(context.config.operation_timeout);
        producer.set("statistics.interval.ms", statistics_interval(config));
        producer.set("enable.idempotence", config.idempotence.to_string());
        producer.set("acks", if config.acks == Acks::All { "all" } else { "1" });
        producer.set("linger.ms", fine_millis(config.linger));
        producer.set("batch.size", config.batch_bytes.to_string());
        producer.set("batch.num.messages", "100000");
        producer.set("compression.codec", codec(config.compression));
        producer.set(
            "queue.buffering.max.kbytes",
            (config.send_buffer_bytes / 1024).to_string(),
        );
        producer.set("queue.buffering.max.messages", "1000000");
        producer.set("message.timeout.ms", millis(delivery));
        // A new topic's leader is known a moment after the topic is.
        producer.set("topic.metadata.refresh.fast.interval.ms", "50");

        let mut consumer = common.clone();
        consumer.set("enable.auto.commit", "false");
        consumer.set("enable.auto.offset.store", "false");
        consumer.set("auto.offset.reset", "earliest");
        consumer.set("allow.auto.create.topics", "false");
        consumer.set("max.poll.interval.ms", millis(config.poll_interval));
        consumer.set("session.timeout.ms", millis(config.session_timeout));
        consumer.set("heartbeat.interval.ms", millis(config.heartbeat_interval));
        consumer.set(
            "partition.assignment.strategy",
            match config.assignment {
                Assignment::CooperativeSticky => "cooperative-sticky",
                Assignment::Range => "range",
                Assignment::Roundrobin => "roundrobin",
            },
        );
        consumer.set(
            "isolation.level",
            match config.isolation {
                Isolation::ReadCommitted => "read_committed",
                Isolation::ReadUncommitted => "read_uncommitted",
            },
        );
        let most = (config.fetch_buffer_bytes / QUEUED_MESSAGE).clamp(10_000, 10_000_000);
        consumer.set("queued.min.messages", most.to_string());
        consumer.set(
            "queued.max.messages.kbytes",
            (config.fetch_buffer_bytes / 1024).to_string(),
        );
        let fetch = (config.fetch_buffer_bytes / 4).clamp(max_message as u64, 1_000_000_000);
        consumer.set("max.partition.fetch.bytes", fetch.to_string());
        consumer.set("fetch.max.bytes", fetch.to_string());
        consumer.set("fetch.queue.backoff.ms", FETCH_BACKOFF);
        consumer.set("fetch.error.backoff.ms", "50");
        consumer.set("topic.metadata.refresh.fast.interval.ms", "50");

        let native = Self {
            common: passed(config, common),
            producer: passed(config, producer),
            consumer: passed(config, consumer),
            max_message,
        };
        for client in [&native.producer, &native.consumer] {
            client.create_native_config().map_err(refused)?;
        }
        Ok(native)
    }
}

impl Native {
    /// A group's consumer.
    pub(crate) fn member(&self, config: &KafkaConfig, group_id: &str) -> ClientConfig {
        let mut client = self.consumer.clone();
        client.set("group.id", group_id);
        let reset = match config.offset_reset {
            OffsetReset::Earliest => "earliest",
            OffsetReset::Latest => "latest",
            OffsetReset::Error => "error",
        };
        client.set("auto.offset.reset", reset);
        client.set("statistics.interval.ms", statistics_interval(config));
        passed(config, client)
    }

    /// A producer whose transactions go by `name`.
    pub(crate) fn transactional(&self, name: &str) -> ClientConfig {
        let mut config = self.producer.clone();
        let set = |key: &str| self.producer.get(key).and_then(|value| value.parse::<u64>().ok());
        // The server ends what lies open for longer than this; the library wants no less than for one message.
        let longest = set("message.timeout.ms").unwrap_or_default().max(10_000);
        config.set("statistics.interval.ms", "0");
        config.set("transactional.id", name);
        config.set("transaction.timeout.ms", longest.to_string());
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config
    }
}

/// Lays the table `kafka` over what this provider sets.
fn passed(config: &KafkaConfig, mut client: ClientConfig) -> ClientConfig {
    for (key, value) in &config.kafka {
        client.set(key, value.expose());
    }
    client
}

fn security(config: &KafkaConfig, client: &mut ClientConfig) {
    let (username, password) = config.credentials();
    let sasl = username.is_some() || config.sasl_mechanism.is_some();
    let protocol = match (config.is_tls(), sasl) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if sasl {
        let mechanism = match config.sasl_mechanism.unwrap_or(SaslMechanism::Plain) {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            SaslMechanism::Gssapi => "GSSAPI",
        };
        client.set("sasl.mechanism", mechanism);
    }
    if let Some(username) = username {
        client.set("sasl.username", username);
    }
    if let Some(password) = password {
        client.set("sasl.password", password.expose());
    }
    let pems = [
        ("ssl.ca", config.tls_ca.as_deref()),
        ("ssl.certificate", config.tls_cert.as_deref()),
        (
            "ssl.key",
            config.tls_key.as_ref().map(broker_core::Secret::expose),
        ),
    ];
    for (key, value) in pems {
        if let Some(value) = value {
            let form = if is_pem(value) { "pem" } else { "location" };
            client.set(format!("{key}.{form}"), value);
        }
    }
    if let Some(password) = &config.tls_key_password {
        client.set("ssl.key.password", password.expose());
    }
    if config.danger_accept_any_certificate && config.is_tls() {
        client.set("enable.ssl.certificate.verification", "false");
    }
}

/// Whether it is a certificate's text, and not the name of its file.
fn is_pem(value: &str) -> bool {
    value.trim_start().starts_with("-----BEGIN") && !Path::new(value).exists()
}

fn codec(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    }
}

/// The library says which key it refuses and why; the value may be a secret and stays out.
fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, why, key, _) => {
            let why = why
                .split(" for configuration property")
                .next()
                .unwrap_or_default();
            Error::config(format!("kafka.{key}"), format!("librdkafka refuses it: {why}"))
        }
        other => Error::config("kafka", format!("librdkafka refuses the settings: {other}")),
    }
}

fn statistics_interval(config: &KafkaConfig) -> String {
    let interval = config.statistics_interval.as_millis();
    interval.min(86_400_000).to_string()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().clamp(1, 86_400_000).to_string()
}

fn fine_millis(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}
