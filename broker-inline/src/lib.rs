//! In-process provider of the broker framework: streams, groups, leases, dead letters and replay without a server.
//!
//! It is called `inline` in configuration, and claims
//! [`ENTERPRISE_STREAMING`](broker_core::Capabilities::ENTERPRISE_STREAMING) with patterns, delayed delivery,
//! idempotent publishing, retention and lease extension. What it keeps lives as long as the broker: nothing is written
//! to disk.
//!
//! A stream is a log of segments for each partition: a published vector becomes a segment as it is, and is lent to
//! readers from there. A group has a lock of its own, a cursor, and a window of sixteen bytes for each message that was
//! handed out; publishers and readers meet in one atomic number.
//!
//! A stream keeps some of what all groups have settled, its history: a late group can start there, and an existing one
//! be moved back. What some group has not settled stays, and when that fills the stream, publishing waits for room, or
//! is refused.

mod answers;
mod broker;
mod claims;
mod clock;
mod config;
mod endpoint;
mod events;
mod families;
mod gate;
mod group;
mod handling;
mod hub;
mod limits;
mod log;
// What is checked there needs no scheduler of its own.
#[cfg(all(test, not(feature = "shuttle")))]
mod model;
mod number;
mod schema;
mod session;
mod stream;
mod sync;

pub use broker::InlineBroker;
pub use config::{InlineConfig, Processing, WhenFull};
#[cfg(feature = "shuttle")]
pub use sync::advance;

use broker_core::registry::Provider;

/// The provider as the registry knows it.
pub static PROVIDER: Provider = schema::describe(
    Provider::new::<InlineConfig>("inline", env!("CARGO_PKG_NAME")).modes(&[("", claims::FULL)]),
);

broker_core::register_provider!(PROVIDER);
