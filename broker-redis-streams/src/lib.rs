//! Redis Streams provider of the broker framework.
//!
//! It is called `redis` in configuration (also `redis_streams`), and speaks to Redis from 6.2 on and to Valkey. A
//! stream is one Redis stream under its own name, a group is a plain Redis consumer group that any other client can
//! join, and the attempt number is the server's own delivery counter, so that it survives the consumer's process.
//!
//! Messages are written by `XADD` with the payload in the field `data`; `docs/wire-formats.md` has the rest. What two
//! steps would tear apart is one Lua script: settling against the fence, claiming what is due, dead-lettering.
//!
//! Blocking reads have connections of their own; everything else shares one multiplexed connection. All keys that
//! belong to a stream share its hash tag.

mod broker;
mod claim;
mod claims;
mod client;
mod codec;
mod config;
mod consumer;
mod dead_letters;
mod endpoint;
mod entry;
mod fetch;
mod group;
mod groups;
mod handed_out;
mod joining;
mod keys;
mod lane;
mod lane_acks;
mod leases;
mod listener;
mod names;
mod ownership;
mod partitions;
mod publish;
mod reader;
mod replay;
mod retention;
mod scripts;
mod settle;
mod streams;
mod tidying;
mod time;

use broker_redis_common::{error, reply};

pub use broker::RedisStreams;
pub use config::{RedisStreamsConfig, WireFormat};

use broker_core::registry::Provider;

/// The provider as the registry knows it.
pub static PROVIDER: Provider = config::describe(
    Provider::new::<RedisStreamsConfig>("redis", env!("CARGO_PKG_NAME"))
        .schemes(&[
            "redis",
            "rediss",
            "redis+unix",
            "redis_streams",
            "valkey",
            "valkeys",
        ])
        .modes(&[("", claims::MOST)]),
);

broker_core::register_provider!(PROVIDER);
