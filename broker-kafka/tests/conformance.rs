//! Certifies the provider on a private Kafka broker, with streams of one partition.

mod common;

use std::process::ExitCode;

fn main() -> broker_core::Result<ExitCode> {
    Ok(common::suite(common::harness(1)?).main())
}
