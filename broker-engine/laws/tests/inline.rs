//! The laws on the in-process broker, with a paused clock.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::ExitCode;

use broker::Brokers;
use broker::inline::InlineConfig;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let paused = || {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    };
    engine_laws::hold(paused, |law| {
        let config = InlineConfig::default().shared(law);
        Brokers::builder().default(config).build().unwrap()
    })
}
