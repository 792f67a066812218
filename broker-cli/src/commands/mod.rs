//! One command per file: its arguments, and what it does.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod conformance;
pub(crate) mod dlq;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod ping;
pub(crate) mod providers;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod tail;
pub(crate) mod torture;
