//! A broker that records what is published to it.

mod adapter;
mod broker;
mod messages;
mod tape;

pub(crate) use adapter::RecordingConfig;
pub use broker::RecordingBroker;
pub use messages::RecordedMessages;
pub use tape::Recorded;
pub(crate) use tape::Tape;
