//! The built program: files, exit codes, standard streams.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may stop at the first surprise"
)]

mod files;
mod schema;
mod suite;
mod support;
mod terminal;
mod torture;
