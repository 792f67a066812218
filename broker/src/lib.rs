//! One API for message brokers.
//!
//! An application publishes and handles messages through [`Broker`], picks the broker behind it by a provider name in
//! its configuration, and asks [`Broker::has_capability`] which guarantees it gives. Providers are chosen by this
//! crate's features; `inline`, which needs no server, is always there.
//!
//! ```
//! use broker::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let broker = Broker::connect("inline://").await?;
//! broker.publish("orders", Message::text("one coffee").key("customer-3")).await?;
//!
//! for delivery in broker.read("orders", "billing", 10).await? {
//!     assert_eq!(delivery.payload().as_ref(), b"one coffee");
//!     delivery.ack().await?;
//! }
//! broker.close().await?;
//! # Ok(())
//! # }
//! ```

pub use broker_core::*;

/// What most programs need.
pub mod prelude {
    #[cfg(feature = "cli")]
    pub use broker_cli::Main;
    pub use broker_core::broker::{
        Batch, Broker, Brokers, Delivery, DeliveryRef, NackOptions, Publisher, Subscription, Transaction,
        Transactor,
    };
    pub use broker_core::{
        Capabilities, Error, ErrorKind, Message, MessageId, Outcome, Published, Settled, StartPosition,
    };
    #[cfg(feature = "engine")]
    pub use broker_engine::{
        App, Engine, Json, Reply, RequestClient, RetryPolicy, State, Subscriber, subscriber,
    };
}

/// Runs subscribers: routing, order, retries, dead letters, request and reply, shutdown.
#[cfg(feature = "engine")]
pub use broker_engine as engine;

/// A service of every subscriber that the program's crates declare by attribute.
#[cfg(feature = "engine")]
pub use broker_engine::app;

/// The `broker` commands within an application's own program.
#[cfg(feature = "cli")]
pub use broker_cli as cli;

/// Tests of applications.
#[cfg(feature = "testing")]
pub use broker_testing as testing;

/// The in-process provider.
pub use broker_inline as inline;

/// The provider `kafka`.
#[cfg(feature = "kafka-minimal")]
pub use broker_kafka as kafka;

/// The provider `rabbitmq`.
#[cfg(feature = "rabbitmq")]
pub use broker_rabbitmq as rabbitmq;

/// The provider `redis_pubsub`.
#[cfg(feature = "redis-pubsub")]
pub use broker_redis_pubsub as redis_pubsub;

/// The provider `redis`.
#[cfg(feature = "redis-streams")]
pub use broker_redis_streams as redis_streams;

/// Compiles and runs what the README shows.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../README.md")]
struct Readme;
