//! Replay.

use broker_core::base::Replay;
use broker_core::{Capabilities, GroupName, Result, StartPosition, StreamName, async_trait};

use crate::broker::InlineBroker;

#[async_trait]
impl Replay for InlineBroker {
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()> {
        self.session
            .check(Capabilities::REPLAY | Capabilities::CONSUMER_GROUPS)?;
        let stream = self.session.expect_stream(stream)?;
        stream.admit(self.session.hub.clock.now());
        let group = stream.expect_group(group)?;
        stream.seek(&group, position)
    }
}
