//! The built program: files, exit codes, standard streams.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may stop at the first surprise"
)]

mod capabilities;
mod files;
mod log;
mod new_adapter;
mod schema;
mod suite;
mod support;
mod terminal;
mod torture;
