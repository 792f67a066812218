#![doc = include_str!("../README.md")]

mod broker;
mod claims;
mod client;
mod codec;
mod config;
mod connection;
mod consumer;
mod dead_letters;
mod delayed;
mod endpoint;
mod entry;
mod error;
mod flight;
mod hearing;
mod held;
mod leases;
mod letter;
mod listener;
mod log;
mod memory;
mod meta;
mod names;
mod ordered;
mod properties;
mod publish;
mod reader;
mod sender;
mod settle;
mod told;
mod topology;
mod walk;

pub use broker::RabbitMq;
pub use config::{ExchangeType, QueueType, RabbitMqConfig};

use broker_core::registry::Provider;

/// The provider as the registry knows it.
pub static PROVIDER: Provider = config::describe(
    Provider::new::<RabbitMqConfig>("rabbitmq", env!("CARGO_PKG_NAME"))
        .schemes(&["amqp", "amqps"])
        .modes(&[
            ("quorum", claims::USUAL),
            ("classic", claims::USUAL),
            ("single active consumer", claims::ORDERED),
            ("stream", claims::LOGS),
        ]),
);

broker_core::register_provider!(PROVIDER);
