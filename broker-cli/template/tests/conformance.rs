//! Certifies the adapter: every capability it claims is exercised, every one it does not claim is refused.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker_testkit::certify(&template_crate::PROVIDER, || {
        "template-scheme://localhost:1234".to_owned()
    })
}
