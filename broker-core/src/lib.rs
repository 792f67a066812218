//! The port of the broker framework.
//!
//! Five rooms, each importing only from those above it:
//!
//! 1. values — [`Capabilities`], [`Message`], names, [`Error`]: plain data, no I/O;
//! 2. [`config`] — from TOML, URL and environment to typed settings;
//! 3. [`base`] — what an adapter author implements: [`base::BaseBroker`] and the optional families;
//! 4. [`registry`] — finding providers by name;
//! 5. [`broker`] — what users call: [`Broker`], [`Brokers`], [`Publisher`], [`Subscription`].
//!
//! An application depends on the facade crate `broker`, an adapter on this one.

pub mod base;
pub mod broker;
pub mod config;
pub mod registry;
mod values;

pub use broker::{Broker, Brokers, Publisher, Subscription, Transaction, Transactor};
pub use values::*;

/// Lets an adapter write the optional families' methods as plain `async fn`.
pub use async_trait::async_trait;

#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
