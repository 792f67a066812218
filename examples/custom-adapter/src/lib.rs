#![doc = include_str!("../README.md")]

mod broker;
mod client;
mod codec;
mod config;
mod error;

pub use broker::DirBroker;
pub use config::{DirConfig, Folder};

use broker_core::Capabilities;
use broker_core::registry::Provider;

/// The provider `dir`.
pub static PROVIDER: Provider = Provider::new::<DirConfig>("dir", env!("CARGO_PKG_NAME"))
    .schemes(&["dir"])
    .modes(&[("", CLAIMS)]);

broker_core::register_provider!(PROVIDER);

/// What every instance can do: nothing here depends on a mode, a setting or a server.
const CLAIMS: Capabilities = Capabilities::SIMPLE_QUEUING.union(Capabilities::MESSAGE_ORDERING);
