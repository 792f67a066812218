#![doc = include_str!("../README.md")]

mod broker;
mod client;
mod config;
mod error;

pub use broker::TemplateBroker;
pub use config::TemplateConfig;

use broker_core::Capabilities;
use broker_core::registry::Provider;

/// The provider `template`.
pub static PROVIDER: Provider = Provider::new::<TemplateConfig>("template", env!("CARGO_PKG_NAME"))
    .schemes(&["template-scheme"])
    .modes(&[("", CLAIMS)]);

broker_core::register_provider!(PROVIDER);

/// What every instance can do.
const CLAIMS: Capabilities = Capabilities::empty();
