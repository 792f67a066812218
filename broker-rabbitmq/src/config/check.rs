//! Settings that can't go together, each refused with one line.

use broker_core::{Error, Result};

use super::{ExchangeType, QueueType, RabbitMqConfig};

impl RabbitMqConfig {
    /// Refuses settings that can't go together.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |key: &str, line: &str| Err(Error::config(key, line));
        if self.is_tls() && cfg!(not(feature = "tls")) {
            return refuse("tls", "this build is without the feature `tls`");
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return refuse("tls_cert and tls_key", "one needs the other; set both");
        }
        if !self.is_tls() && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            return refuse("tls", "certificates are set and TLS is not; use `amqps://`");
        }
        if self.connection_attempts == 0 {
            return refuse("connection_attempts", "a number above zero is expected");
        }
        if self.heartbeat.subsec_nanos() != 0 || self.heartbeat.as_secs() > u64::from(u16::MAX) {
            return refuse("heartbeat", "whole seconds up to 65535 are expected");
        }
        let binding_key = self.binding_key.clone().unwrap_or_default();
        for (key, text, holes) in [
            ("exchange", &self.exchange, &["{stream}"][..]),
            ("queue", &self.queue, &["{stream}", "{group}"]),
            ("log_queue", &self.log_queue, &["{stream}"]),
            ("routing_key", &self.routing_key, &["{stream}", "{key}"]),
            ("binding_key", &binding_key, &["{stream}"]),
        ] {
            let rest = holes
                .iter()
                .fold(text.clone(), |text, hole| text.replace(hole, ""));
            if rest.contains(['{', '}']) {
                let known = holes.join(" and ");
                return refuse(key, &format!("it has a brace that is none of {known}"));
            }
        }
        if self.prefetch_count == 0 {
            return refuse("prefetch_count", "a number above zero is expected");
        }
        self.check_order()?;
        self.check_log()?;
        self.check_bindings()?;
        let apart = self.exchange.contains("{stream}") || self.is_shared();
        if self.declare && !(apart && self.queue.contains("{group}")) {
            return refuse(
                "declare",
                "streams would share an exchange or groups a queue; name them by `{stream}` and `{group}`, or set `declare = false`",
            );
        }
        if self.declare && self.queue == "{group}" {
            return refuse(
                "queue",
                "groups of different streams would share it; add `{stream}`",
            );
        }
        Ok(())
    }

    fn check_order(&self) -> Result<()> {
        let refuse = |line: &str| Err(Error::config("single_active_consumer", line));
        if self.single_active_consumer && self.is_log() {
            return refuse(
                "with `queue_type = \"stream\"` the messages of one key come in order without it; leave it out",
            );
        }
        if self.single_active_consumer && self.queue_type != QueueType::Quorum {
            return refuse(
                "only a quorum queue counts how often a message was delivered; set `queue_type = \"quorum\"`, or leave it out",
            );
        }
        if self.single_active_consumer && !self.declare {
            return refuse(
                "with `declare = false` queues are used as they are, and there is none for attempts; leave it out",
            );
        }
        Ok(())
    }

    fn check_bindings(&self) -> Result<()> {
        let refuse = |key: &str, line: &str| Err(Error::config(key, line));
        let by_key = matches!(self.exchange_type, ExchangeType::Direct | ExchangeType::Topic);
        if self.binding_key.is_some() && !by_key {
            return refuse(
                "binding_key",
                "only direct and topic exchanges go by it; set `exchange_type`, or leave it out",
            );
        }
        if !self.binding_headers.is_empty() && self.exchange_type != ExchangeType::Headers {
            return refuse(
                "binding_headers",
                "only headers exchanges go by them; set `exchange_type = \"headers\"`, or leave them out",
            );
        }
        if !self.declare && self.exchange_type != ExchangeType::Fanout {
            return refuse(
                "exchange_type",
                "with `declare = false` exchanges are used as they are, whatever their type; leave it out",
            );
        }
        if self.exchange_type == ExchangeType::Direct && self.is_by_key() && self.binding_key.is_none() {
            return refuse(
                "binding_key",
                "messages are routed by their keys, and a direct exchange has no binding for all; name one, or use `topic`",
            );
        }
        if self.is_shared() && (self.is_by_key() || self.binding_key.is_some()) {
            return refuse(
                "exchange",
                "streams that share an exchange are told apart by their routing keys alone; name it by `{stream}` to go by keys as well",
            );
        }
        Ok(())
    }

    fn check_log(&self) -> Result<()> {
        let refuse = |key: &str, line: &str| Err(Error::config(key, line));
        if !self.is_log() {
            let kept = [
                ("max_age", self.max_age.is_some()),
                ("max_length_bytes", self.max_length_bytes.is_some()),
                ("max_segment_size_bytes", self.max_segment_size_bytes.is_some()),
            ];
            return match kept.into_iter().find(|(_, is_set)| *is_set) {
                Some((key, _)) => refuse(
                    key,
                    "only a stream queue keeps what is settled; set `queue_type = \"stream\"`, or leave it out",
                ),
                None => Ok(()),
            };
        }
        if !self.declare {
            return refuse(
                "declare",
                "with `queue_type = \"stream\"` each group's position needs a queue of its own, which is made; leave it on",
            );
        }
        if !self.persistent {
            return refuse("persistent", "a stream queue is always on disk; leave it on");
        }
        if !self.log_queue.contains("{stream}") {
            return refuse("log_queue", "streams would share it; name it by `{stream}`");
        }
        if self
            .max_age
            .is_some_and(|age| age.subsec_nanos() != 0 || age.is_zero())
        {
            return refuse("max_age", "whole seconds are expected, at least one");
        }
        for (key, size) in [
            ("max_length_bytes", self.max_length_bytes),
            ("max_segment_size_bytes", self.max_segment_size_bytes),
        ] {
            if size.is_some_and(|size| size == 0 || i64::try_from(size).is_err()) {
                return refuse(key, "a number of bytes above zero is expected");
            }
        }
        Ok(())
    }
}
