//! The trait of a broker.

use std::future::Future;

use super::{Deliveries, Families, Nack, PublishBatch, ReadRequest, Settle};
use crate::values::{Capabilities, LostCapability, Published, Result, Settlements};

/// An opened broker, as its adapter's author writes it: with plain `async fn`.
///
/// # Contract
///
/// - Every method may be called from many tasks at once.
/// - A method tries once. It does not retry, sleep or time out, but classifies its error by
///   [`Error::retry`](crate::Error::retry), and the caller does the rest.
/// - Dropping the future of any method loses no message and mixes up no replies.
/// - What is not claimed in [`capabilities`](Self::capabilities) answers
///   [`Error::unsupported`](crate::Error::unsupported), quickly and without a side effect.
/// - After [`close`](Self::close), methods answer [`Error::closed`](crate::Error::closed).
pub trait BaseBroker: Send + Sync + 'static {
    /// The flags of this instance: they depend on its mode, settings and server.
    fn capabilities(&self) -> Capabilities;

    /// The flags that the provider can have and this instance has not, each with its reason.
    fn lost_capabilities(&self) -> Vec<LostCapability> {
        Vec::new()
    }

    /// The optional families this instance has; they must agree with [`capabilities`](Self::capabilities).
    fn families(&self) -> Families<'_> {
        Families::default()
    }

    /// Stores the batch's messages in order.
    ///
    /// # Contract
    ///
    /// - `Ok` has one outcome per message; `Stored` means kept as the broker promises.
    /// - An error speaks for the whole batch: nothing is stored ([`Retry::Safe`](crate::Retry::Safe) or `Never`), or
    ///   nobody knows ([`Retry::Unknown`](crate::Retry::Unknown)).
    /// - The messages may be [taken](PublishBatch::take) once it is certain that they are stored.
    fn publish(&self, batch: PublishBatch<'_>) -> impl Future<Output = Result<Published>> + Send;

    /// Hands out up to `request.max` messages to a consumer of a group, which is made if it is not there.
    ///
    /// # Contract
    ///
    /// - Answers as soon as there is at least one message; after `request.wait`, an empty batch. Without
    ///   `BLOCKING_READ` the wait is always zero: waiting is done by the caller then.
    /// - Empty means that nothing was there: a failure is an error.
    /// - A maximum of zero makes the group, at its start position, and hands out nothing: so a subscription begins.
    fn read(&self, request: ReadRequest<'_>) -> impl Future<Output = Result<Deliveries>> + Send;

    /// Marks deliveries as done for their group; one answer per receipt, in order.
    fn ack(&self, settle: Settle<'_>) -> impl Future<Output = Result<Settlements>> + Send;

    /// Refuses deliveries: to come again, to lie with the dead letters, or to be discarded.
    ///
    /// # Contract
    ///
    /// - A dead letter is written before its message is settled at the source; if that fails, the message stays.
    fn nack(&self, nack: Nack<'_>) -> impl Future<Output = Result<Settlements>> + Send;

    /// Asks the server for a sign of life.
    fn ping(&self) -> impl Future<Output = Result<()>> + Send;

    /// What the adapter knows about its state, without asking the server.
    fn health_stats(&self) -> HealthReport;

    /// Connects if there is no live connection. The first I/O of an adapter is here; opening does none.
    fn ensure_connection(&self) -> impl Future<Output = Result<()>> + Send;

    /// Wakes blocked readers, flushes what was accepted, and lets go. Doing it again is fine.
    fn close(&self) -> impl Future<Output = Result<()>> + Send;
}

/// What an adapter knows about its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// What wants attention, in one line each; none means healthy.
    pub warnings: Vec<String>,
    /// Names and values for people, such as `server_version`.
    pub details: Vec<(String, String)>,
}
