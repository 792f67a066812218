//! From TOML, URL and environment to typed settings.
//!
//! Whatever the source, a broker's settings become one [`Settings`] table, and one deserializer turns that into typed
//! structs: it knows every struct's field names, so that a misspelt key is an error that names the nearest right one.

mod access;
mod broker_config;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod config;
mod deserializer;
pub mod duration;
mod environment;
mod interpolate;
mod origins;
mod settings;
mod url;

pub use broker_config::BrokerConfig;
pub use config::Config;
pub use settings::Settings;
pub use url::BrokerUrl;

pub use crate::values::nearest::nearest;
