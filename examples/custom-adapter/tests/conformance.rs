//! Certifies the adapter: every capability it claims is exercised, every one it does not claim is refused.

use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("no folder for the test: {error}");
            return ExitCode::FAILURE;
        }
    };
    broker_testkit::certify(&custom_adapter::PROVIDER, || {
        format!("dir://{}", folder.path().display())
    })
}
