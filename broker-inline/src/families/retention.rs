//! Retention.

use broker_core::base::{Retention, TrimTo, Trimmed};
use broker_core::{Capabilities, Result, StreamName, async_trait};

use crate::broker::InlineBroker;

#[async_trait]
impl Retention for InlineBroker {
    async fn trim(&self, stream: &StreamName, to: &TrimTo, force: bool) -> Result<Trimmed> {
        self.session.check(Capabilities::RETENTION)?;
        match self.session.hub.find(stream) {
            Some(stream) => stream.trim(to, force),
            None => Ok(Trimmed::default()),
        }
    }
}
