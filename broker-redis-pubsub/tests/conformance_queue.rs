//! The conformance suite on mode `queue`.

mod common;

fn main() -> std::process::ExitCode {
    common::conformance("queue")
}
