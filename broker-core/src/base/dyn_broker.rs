//! [`BaseBroker`] behind a pointer.

use std::future::Future;
use std::pin::Pin;

use super::{BaseBroker, Deliveries, Families, HealthReport, Nack, PublishBatch, ReadRequest, Settle};
use crate::values::{Capabilities, LostCapability, Published, Result, Settlements};

/// A boxed future: one per batch, never one per message.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`BaseBroker`] with its futures boxed; every adapter has it by the blanket impl.
pub trait DynBroker: Send + Sync + 'static {
    /// See [`BaseBroker::capabilities`].
    fn capabilities(&self) -> Capabilities;
    /// See [`BaseBroker::lost_capabilities`].
    fn lost_capabilities(&self) -> Vec<LostCapability>;
    /// See [`BaseBroker::families`].
    fn families(&self) -> Families<'_>;
    /// See [`BaseBroker::publish`].
    fn publish<'a>(&'a self, batch: PublishBatch<'a>) -> BoxFuture<'a, Result<Published>>;
    /// See [`BaseBroker::read`].
    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<Deliveries>>;
    /// See [`BaseBroker::ack`].
    fn ack<'a>(&'a self, settle: Settle<'a>) -> BoxFuture<'a, Result<Settlements>>;
    /// See [`BaseBroker::nack`].
    fn nack<'a>(&'a self, nack: Nack<'a>) -> BoxFuture<'a, Result<Settlements>>;
    /// See [`BaseBroker::ping`].
    fn ping(&self) -> BoxFuture<'_, Result<()>>;
    /// See [`BaseBroker::health_stats`].
    fn health_stats(&self) -> HealthReport;
    /// See [`BaseBroker::ensure_connection`].
    fn ensure_connection(&self) -> BoxFuture<'_, Result<()>>;
    /// See [`BaseBroker::close`].
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

// The provided methods of `BaseBroker` are forwarded too: forgetting one would silently take a capability away.
#[deny(clippy::missing_trait_methods)]
impl<B: BaseBroker> DynBroker for B {
    fn capabilities(&self) -> Capabilities {
        BaseBroker::capabilities(self)
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        BaseBroker::lost_capabilities(self)
    }

    fn families(&self) -> Families<'_> {
        BaseBroker::families(self)
    }

    fn publish<'a>(&'a self, batch: PublishBatch<'a>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(BaseBroker::publish(self, batch))
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<Deliveries>> {
        Box::pin(BaseBroker::read(self, request))
    }

    fn ack<'a>(&'a self, settle: Settle<'a>) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(BaseBroker::ack(self, settle))
    }

    fn nack<'a>(&'a self, nack: Nack<'a>) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(BaseBroker::nack(self, nack))
    }

    fn ping(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(BaseBroker::ping(self))
    }

    fn health_stats(&self) -> HealthReport {
        BaseBroker::health_stats(self)
    }

    fn ensure_connection(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(BaseBroker::ensure_connection(self))
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(BaseBroker::close(self))
    }
}
