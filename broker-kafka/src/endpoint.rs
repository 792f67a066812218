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

use crate::broker::Kafka;
use crate::consumer::Consumer;
use crate::listener::Listener;
use crate::publish::Publisher;

/// How many batches may be on their way: the producer's numbers keep them in order.
const BATCHES_IN_FLIGHT: usize = 8;

#[async_trait]
impl Endpoints for Kafka {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        Ok(self.publisher_of(stream).await?)
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        Ok(Arc::new(Member(Consumer::join(self.client(), member).await?)))
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        match &request.source {
            Source::Stream(stream) => Ok(Arc::new(
                Listener::new(self.client(), stream, &request.start).await?,
            )),
            Source::Pattern(_) => Err(Error::unsupported(Capabilities::PATTERN_SUBSCRIPTION)),
        }
    }
}

impl PublishEndpoint for Publisher {
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(Self::publish(self, messages))
    }

    fn batches_in_flight(&self) -> usize {
        if self.keeps_order() { BATCHES_IN_FLIGHT } else { 1 }
    }
}

/// A consumer as the port knows it.
struct Member(Arc<Consumer>);

impl ReadEndpoint for Member {
    fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        self.0.try_read(max)
    }

    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.0.read(max, wait))
    }

    fn try_ack(&self, runs: &[ReceiptRun]) -> Option<Result<Settlements>> {
        self.0.try_ack(runs)
    }

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(self.0.ack(runs))
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(self.0.nack(runs, disposition, failure))
    }

    fn try_give_back(&self, runs: &[ReceiptRun]) -> bool {
        self.0.give_back(runs).is_ok()
    }

    fn leave(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.0.leave().await;
            Ok(())
        })
    }
}
