//! Lines for people.

use std::io::Write as _;

/// Writes a line to standard error or standard output. A reader that has gone, such as `head`, is no reason to stop
/// in the middle of the work.
pub(crate) fn line(error: bool, text: &str) {
    let text = text.trim_end();
    let _ = if error {
        writeln!(std::io::stderr().lock(), "{text}")
    } else {
        writeln!(std::io::stdout().lock(), "{text}")
    };
}
