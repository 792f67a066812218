//! Brokers to run on.

use broker::Brokers;
use broker::inline::InlineConfig;
use broker::prelude::*;
pub(crate) use engine_laws::{Seen, dead, publish_numbers, quick, until};

/// The in-process broker, with all it can do.
pub(crate) fn inline() -> Brokers {
    Brokers::builder()
        .default(InlineConfig::default())
        .build()
        .unwrap()
}

/// The in-process broker with only these capabilities.
pub(crate) fn weak(capabilities: Capabilities) -> Brokers {
    let config = InlineConfig::default().capabilities(capabilities).unwrap();
    Brokers::builder().default(config).build().unwrap()
}
