//! What the framework's Redis providers share: the settings of a connection, connecting, and the errors.
//!
//! An adapter defines its settings by [`connection_settings!`], opens a [`Redis`] with them, and sends commands by it.
//! Blocking readers have connections of their own, a [`Place`] each; everything else shares one multiplexed connection
//! for each server.
//!
//! This crate is for the providers `redis` and `redis_pubsub`; applications use those.

mod address;
mod apart;
mod client;
mod cluster;
mod connection;
pub mod error;
mod hub;
mod library;
mod node;
mod nodes;
mod place;
mod pool;
mod redirect;

pub mod reply;
mod script;
mod sentinel;
mod server;
mod settings;
mod slots;
mod tls;
mod topology;

pub use client::Redis;
pub use hub::{Hub, Listener, Topic};
pub use place::Place;
pub use script::{Call, Script};
pub use sentinel::Sentinel;
pub use server::{Server, Version};
pub use settings::ConnectionSettings;
