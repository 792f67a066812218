//! Redis lists and channels as a broker: the provider `redis_pubsub`.
//!
//! | `mode` | claims | how |
//! |---|---|---|
//! | `list` (default) | `SIMPLE_QUEUING`, order, blocking reads | a list per stream, a position per group, moved in the step that reads |
//! | `channel` | `BASIC_PUBSUB`, patterns | Redis' own channels |
//! | `queue` | `RELIABLE_MESSAGING`, blocking reads, longer leases | a list that any program may push to, with leases and attempts beside it |
//!
//! Mode `list` delivers at most once: a group's position moves as messages are handed out, and nothing is settled. An
//! answer that is lost on its way is given again; what a process held when it died is gone. Who needs each message done
//! takes mode `queue`.
//! Mode `queue` delivers at least once. The [wire formats](https://github.com/broker-rs/broker/blob/main/docs/wire-formats.md)
//! are documented, and other programs' entries are read: bare ones, and those of Protean.
//!
//! ```no_run
//! # async fn run() -> broker_core::Result<()> {
//! use broker_core::{Broker, Message};
//! use broker_redis_pubsub as _; // links the provider
//!
//! let broker = Broker::connect("redis+pubsub://localhost:6379/0?mode=queue").await?;
//! broker.publish("orders", Message::text("hello")).await?;
//! for delivery in broker.read("orders", "billing", 10).await? {
//!     delivery.ack().await?;
//! }
//! # Ok(())
//! # }
//! ```

mod broker;
mod channel;
mod client;
mod codec;
mod config;
mod groups;
mod keys;
mod list;
mod place;
mod publisher;
mod queue;
mod reader;
mod scripts;
mod streams;
mod tail;
mod wake;

use broker_core::register_provider;
use broker_core::registry::Provider;
use broker_redis_common::{error, reply};

pub use broker::RedisPubsub;
pub use config::{Mode, RedisPubsubConfig, WireFormat};

/// The provider `redis_pubsub`.
pub static PROVIDER: Provider = config::describe(
    Provider::new::<RedisPubsubConfig>("redis_pubsub", env!("CARGO_PKG_NAME"))
        .schemes(&["redis+pubsub", "rediss+pubsub", "redis+unix+pubsub"])
        .modes(&[
            ("list", Mode::List.capabilities()),
            ("channel", Mode::Channel.capabilities()),
            ("queue", Mode::Queue.capabilities()),
        ]),
);

register_provider!(PROVIDER);
