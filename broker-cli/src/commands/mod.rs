//! One command per file: its arguments, and what it does.

#[cfg(feature = "conformance")]
pub(crate) mod capabilities;
pub(crate) mod completions;
pub(crate) mod config;
#[cfg(feature = "conformance")]
pub(crate) mod conformance;
pub(crate) mod dlq;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod new_adapter;
pub(crate) mod ping;
pub(crate) mod plan;
pub(crate) mod providers;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod server;
pub(crate) mod tail;
#[cfg(feature = "conformance")]
pub(crate) mod torture;
pub(crate) mod trace;
