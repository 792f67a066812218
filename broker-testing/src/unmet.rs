//! How a test hears that something is not as expected.

/// Ends the test that expected something else.
#[expect(clippy::panic, reason = "that is how a test hears of it")]
#[track_caller]
pub(crate) fn unmet(line: &str) -> ! {
    panic!("{line}")
}
