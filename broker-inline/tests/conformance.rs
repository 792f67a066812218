//! The conformance suite on the in-process broker.

use std::process::ExitCode;
use std::time::Duration;

use broker_inline::PROVIDER;
use broker_testkit::{Limits, Part, Suite, Timing, UrlHarness};

fn main() -> ExitCode {
    let timing = Timing {
        lease: Duration::from_millis(300),
        retry_delay: Duration::from_millis(20),
        quiet: Duration::from_millis(100),
        ..Timing::default()
    };
    let limits = Limits {
        partitions: Some(6),
        ..Limits::default()
    };
    let harness = UrlHarness::new(&PROVIDER, "inline://conformance?partitions=6")
        .timing(timing)
        .limits(limits);
    Part::ALL
        .into_iter()
        .fold(Suite::new(harness), |suite, part| {
            suite.absent(part, "in process there is no server, and no way to it")
        })
        .main()
}
