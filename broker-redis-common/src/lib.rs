//! What the framework's Redis providers share: the settings of a connection, connecting, and the errors.
//!
//! An adapter defines its settings by [`connection_settings!`], opens a [`Redis`] with them, and sends commands by it.
//! Blocking readers have connections of their own, a [`Place`] each; everything else shares one multiplexed connection
//! for each server.
//!
//! This crate is for the providers `redis` and `redis_pubsub`; applications use those.

mod address;
mod client;
mod connection;
pub mod error;
mod library;
mod node;
mod place;
mod pool;

pub mod reply;
mod script;
mod server;
mod settings;
mod tls;

pub use client::Redis;
pub use place::Place;

pub use script::{Call, Script};
pub use server::{Server, Version};
pub use settings::ConnectionSettings;
