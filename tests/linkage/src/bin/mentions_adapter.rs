//! One line mentions the adapter that stands in Cargo.toml.

use custom_adapter as _;

fn main() -> std::process::ExitCode {
    linkage::open()
}
