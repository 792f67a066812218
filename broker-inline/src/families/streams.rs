//! Streams.

use broker_core::base::Streams;
use broker_core::{Capabilities, Result, StreamInfo, StreamName, async_trait};

use crate::broker::InlineBroker;

#[async_trait]
impl Streams for InlineBroker {
    async fn list(&self) -> Result<Vec<StreamName>> {
        self.session.check(Capabilities::empty())?;
        Ok(self
            .session
            .hub
            .list()
            .iter()
            .map(|stream| stream.name.clone())
            .collect())
    }

    async fn info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        self.session.check(Capabilities::empty())?;
        Ok(self.session.hub.find(stream).and_then(|stream| stream.info()))
    }

    async fn delete(&self, stream: &StreamName) -> Result<bool> {
        self.session.check(Capabilities::empty())?;
        Ok(self.session.hub.delete(stream))
    }
}
