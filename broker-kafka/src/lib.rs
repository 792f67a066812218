#![doc = include_str!("../README.md")]

mod broker;
mod burial;
mod choices;
mod chunk;
mod claims;
mod client;
mod codec;
mod commits;
mod committer;
mod config;
mod consumer;
mod dead_index;
mod dead_letters;
mod endings;
mod endpoint;
mod error;
mod groups;
mod inheritance;
mod intake;
mod leases;
mod listener;
mod names;
mod native;
mod offsets;
mod orders;
mod partition;
mod partitions;
mod passed;
mod places;
mod poller;
mod producer;
mod progress;
mod publish;
mod rebalance;
mod replay;
mod retry;
mod sent;
mod session;
mod sessions;
mod settlement;
mod state;
mod statistics;
mod streams;
mod tls;
mod topic;
mod transactional;
mod transactor;
mod watchdog;

pub use broker::Kafka;
pub use choices::{Acks, Assignment, Compression, Isolation, OffsetReset, SaslMechanism};
pub use config::KafkaConfig;
pub use passed::Passed;

use broker_core::registry::Provider;

/// The provider as the registry knows it.
pub static PROVIDER: Provider = config::describe(
    Provider::new::<KafkaConfig>("kafka", env!("CARGO_PKG_NAME"))
        .schemes(&["kafka", "kafkas", "kafka+ssl"])
        .modes(&[("", claims::ALL)]),
);

broker_core::register_provider!(PROVIDER);
