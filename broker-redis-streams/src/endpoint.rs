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
use crate::consumer::Consumer;
use crate::listener::{Listener, StreamListener};
use crate::publish::Publisher;

/// How many pipelines may be on their way: the next ones are filled while one is out, and one connection keeps order.
const BATCHES_IN_FLIGHT: usize = 8;

#[async_trait]
impl Endpoints for RedisStreams {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        Ok(Arc::new(self.publisher_of(stream).await?))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        let consumer = Consumer::join(self.client(), member).await?;
        Ok(Arc::new(Member(consumer)))
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        match &request.source {
            Source::Stream(stream) => {
                let mut listeners = Vec::new();
                for partition in self.client().topic(stream).await?.iter() {
                    listeners.push(Listener::new(self.client(), partition, &request.start).await?);
                }
                Ok(Arc::new(StreamListener(listeners)))
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

/// A consumer as the port knows it.
struct Member(Arc<Consumer>);

impl ReadEndpoint for Member {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.0.read(max, wait))
    }

    fn reads_ahead(&self) -> bool {
        true
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

    fn leave(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.0.leave().await;
            Ok(())
        })
    }
}
