//! Finding providers by name.

mod provider;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod registry;
#[cfg(feature = "schema")]
mod schema;

pub use provider::{Provider, ProviderConfig};
#[doc(hidden)]
pub use registry::Registration;
pub use registry::Registry;
