//! Names resolved once, and independent readers.

use std::sync::Arc;

use broker_core::base::{Endpoints, ListenRequest, Membership, PublishEndpoint, ReadEndpoint};
use broker_core::{Capabilities, Result, StreamName, async_trait};

use crate::broker::InlineBroker;
use crate::endpoint::{Listener, Publisher, Reader};

#[async_trait]
impl Endpoints for InlineBroker {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        self.session.check(Capabilities::PUBLISH)?;
        let stream = self.session.hub.stream(stream)?;
        Ok(Arc::new(Publisher::new(self.session.clone(), stream)))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        Ok(Arc::new(Reader::new(self.session.clone(), member)?))
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        Ok(Arc::new(Listener::new(self.session.clone(), request)?))
    }
}
