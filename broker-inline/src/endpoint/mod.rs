//! Names resolved once.

mod listener;
mod publisher;
mod reader;

pub(crate) use listener::Listener;
pub(crate) use publisher::Publisher;
pub(crate) use reader::Reader;
