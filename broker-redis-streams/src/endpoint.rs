//! Names resolved once, and independent readers.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{
    BoxFuture, Deliveries, Disposition, Endpoints, ListenRequest, Membership, PublishEndpoint, ReadEndpoint,
    Source,
};
use broker_core::{
    Capabilities, Error, Failure, Message, Published, ReceiptRun, Result, Settlements, StreamName,
    async_trait,
};

use crate::broker::RedisStreams;
use crate::publish::Publisher;
use crate::reader::Reader;

/// How many pipelines may be on their way: the next ones are filled while one is out, and one connection keeps order.
const BATCHES_IN_FLIGHT: usize = 8;

#[async_trait]
impl Endpoints for RedisStreams {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        Ok(Arc::new(self.publisher_of(stream).await?))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        let reader = Reader::join(self.client(), member).await?;
        Ok(Arc::new(Member(reader)))
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        match &request.source {
            Source::Stream(stream) => {
                let listener = crate::listener::Listener::new(self.client(), stream, &request.start).await?;
                Ok(Arc::new(listener))
            }
            Source::Pattern(_) => Err(Error::unsupported(Capabilities::PATTERN_SUBSCRIPTION)),
        }
    }
}

impl PublishEndpoint for Publisher {
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(Self::publish(self, messages))
    }

    fn batches_in_flight(&self) -> usize {
        BATCHES_IN_FLIGHT
    }
}

/// A reader as the port knows it.
struct Member(Arc<Reader>);

impl ReadEndpoint for Member {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.0.read(max, wait))
    }

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(self.0.hands.ack(runs))
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(self.0.hands.nack(runs, disposition, failure))
    }

    fn leave(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.0.empty_hands().await;
            Ok(())
        })
    }
}
