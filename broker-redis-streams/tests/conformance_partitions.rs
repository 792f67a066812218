//! Certifies the provider on a private Redis server, with streams of four partitions that members own.

mod common;

use std::process::ExitCode;

fn main() -> broker_core::Result<ExitCode> {
    Ok(common::suite(4)?.main())
}
