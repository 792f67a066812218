//! The conformance suite on the in-process broker.

use std::process::ExitCode;
use std::time::Duration;

use broker_core::async_trait;
use broker_inline::PROVIDER;
use broker_testkit::{Level, Limits, Part, Suite, Timing, UrlHarness, VirtualClock};
use tokio::runtime::{Builder, Runtime};

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
        .limits(limits)
        .clock(PausedClock);
    Part::ALL
        .into_iter()
        .fold(Suite::new(harness), |suite, part| {
            suite.absent(part, "in process there is no server, and no way to it")
        })
        .expect_exercised(Level::Quick, 150)
        .expect_exercised(Level::Full, 157)
        .main()
}

/// The clock of a paused runtime, which the provider's leases and delays go by.
struct PausedClock;

#[async_trait]
impl VirtualClock for PausedClock {
    fn runtime(&self) -> std::io::Result<Runtime> {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}
