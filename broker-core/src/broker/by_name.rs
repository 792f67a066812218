//! Endpoints for adapters that resolve nothing: each call goes by name.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{
    BoxFuture, Deliveries, Disposition, DynBroker, Membership, Nack, PublishBatch, PublishEndpoint,
    ReadEndpoint, ReadRequest, Settle,
};
use crate::values::{Failure, Message, Published, ReceiptRun, Result, Settlements, StreamName};

/// Publishes by the stream's name.
pub(super) struct PublishByName {
    pub(super) base: Arc<dyn DynBroker>,
    pub(super) stream: StreamName,
}

impl PublishEndpoint for PublishByName {
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        self.base.publish(PublishBatch::new(&self.stream, messages))
    }
}

/// Reads and settles by the names of stream, group and consumer.
pub(super) struct ReadByName {
    pub(super) base: Arc<dyn DynBroker>,
    pub(super) member: Membership,
}

impl ReadEndpoint for ReadByName {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        self.base.read(ReadRequest {
            member: &self.member,
            max,
            wait,
        })
    }

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        self.base.ack(Settle {
            member: &self.member,
            runs,
        })
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        self.base.nack(Nack {
            settle: Settle {
                member: &self.member,
                runs,
            },
            disposition,
            failure,
        })
    }
}
