//! What an application declares: who handles which messages, and how.

mod declared;
mod linked;
mod routes;
mod settings;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod subscriber;

pub use declared::Declared;
pub(crate) use declared::Make;
pub use linked::{Linked, linked};
pub use routes::{NoRoute, Otherwise, Route};
pub use settings::{AckPolicy, OnUndecodable, OrderedBy};
pub(crate) use settings::{AtEnd, Settings};
pub use subscriber::Subscriber;
