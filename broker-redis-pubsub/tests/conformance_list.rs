//! The conformance suite on mode `list`.

mod common;

fn main() -> std::process::ExitCode {
    common::conformance("list")
}
