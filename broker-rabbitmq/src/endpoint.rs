//! Names resolved once, and independent readers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_core::base::{
    BoxFuture, Deliveries, Disposition, Endpoints, ListenRequest, Membership, PublishEndpoint, ReadEndpoint,
};
use broker_core::{Failure, Message, Published, ReceiptRun, Result, Settlements, StreamName, async_trait};

use crate::broker::RabbitMq;
use crate::consumer::Consumer;
use crate::listener::Listener;
use crate::log;
use crate::ordered;
use crate::publish::Publisher;

/// How many batches may be on their way: one channel keeps them in order, and one that fails takes all behind it along.
const BATCHES_IN_FLIGHT: usize = 8;

#[async_trait]
impl Endpoints for RabbitMq {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        Ok(Arc::new(Publisher::new(self.client(), stream).await?))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        if self.is_log() {
            return Ok(Arc::new(Logged(log::Member::join(self.client(), member).await?)));
        }
        if self.is_ordered() {
            return Ok(Arc::new(Ordered(
                ordered::Member::join(self.client(), member).await?,
            )));
        }
        Ok(Arc::new(Member(Consumer::join(self.client(), member).await?)))
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        Ok(Arc::new(Listener::new(self.client(), request).await?))
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

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async {
            self.0.client.check_open()?;
            self.0.client.ack(&self.0.member, runs).await
        })
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async move {
            self.0.client.check_open()?;
            self.0
                .client
                .nack(&self.0.member, runs, disposition, failure)
                .await
        })
    }

    fn subscribed(&self) {
        self.0.subscribed.store(true, Ordering::Release);
    }

    fn unsubscribed(&self) {
        self.0.unsubscribe();
    }

    fn leave(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.0.leave().await;
            Ok(())
        })
    }
}

/// A member of a group that is read in order, as the port knows it.
struct Ordered(Arc<ordered::Member>);

impl ReadEndpoint for Ordered {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.0.read(max, wait))
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

/// A member of a group that reads a log, as the port knows it.
struct Logged(Arc<log::Member>);

impl ReadEndpoint for Logged {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.0.read(max, wait))
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
