//! The conformance suite on mode `channel`.

mod common;

fn main() -> std::process::ExitCode {
    common::conformance("channel")
}
