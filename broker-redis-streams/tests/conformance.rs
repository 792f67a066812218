//! Certifies the provider on a private Redis server, with plain groups.

mod common;

use std::process::ExitCode;

fn main() -> broker_core::Result<ExitCode> {
    Ok(common::suite(1)?.main())
}
