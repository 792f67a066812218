//! A stream and a group resolved once.

use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Deliveries, Disposition, Membership};
use crate::async_trait;
use crate::values::{
    Capabilities, Error, Failure, Message, MessageId, Published, Receipt, ReceiptRun, Result, Settled,
    Settlements, StartPosition, StreamName, StreamPattern,
};

/// Optional family: what the adapter makes of a stream's and a group's name is kept, not looked up on each call.
///
/// An adapter without it is served by [`BaseBroker::publish`](super::BaseBroker::publish) and
/// [`read`](super::BaseBroker::read).
#[async_trait]
pub trait Endpoints: Send + Sync {
    /// Resolves a stream to publish to.
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>>;

    /// Resolves a group's member; the group exists when this returns.
    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>>;

    /// A reader of its own that belongs to no group and settles nothing; it sees all that is published after this
    /// returns, and before that from `request.start` on where there is history.
    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>>;
}

/// What an independent reader wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenRequest {
    /// One stream or many.
    pub source: Source,
    /// From where on.
    pub start: StartPosition,
}

/// One stream or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This stream.
    Stream(StreamName),
    /// Every stream whose name matches, those made later included.
    Pattern(StreamPattern),
}

/// A resolved stream to publish to.
///
/// The `try_` methods are the fast path of a broker that can store without waiting; what they can't do at once they
/// leave to the boxed future.
pub trait PublishEndpoint: Send + Sync + 'static {
    /// Stores the message, and takes it, if that needs no waiting; else answers `None` and leaves it.
    fn try_publish_one(&self, message: &mut Option<Message>) -> Option<Result<MessageId>> {
        let _ = message;
        None
    }

    /// Stores all messages, in order, if that needs no waiting; else answers `None` and leaves them.
    fn try_publish(&self, messages: &mut Vec<Message>) -> Option<Result<Published>> {
        let _ = messages;
        None
    }

    /// Stores the messages in order, as [`BaseBroker::publish`](super::BaseBroker::publish) does.
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>>;

    /// How many batches may be on their way at once without changing their order; at least one.
    ///
    /// # Contract
    ///
    /// - More than one only where a batch that is not stored keeps those behind it from being stored, too. The caller
    ///   tries them again in their order, and sends no others meanwhile.
    fn batches_in_flight(&self) -> usize {
        1
    }
}

/// A resolved member of a group, or an independent reader.
pub trait ReadEndpoint: Send + Sync + 'static {
    /// Hands out what is there at once; `None` where nothing is, or where finding out needs waiting.
    ///
    /// # Contract
    ///
    /// - An endpoint that has this has [`try_give_back`](Self::try_give_back) too: what was delivered too often is
    ///   given back by it, to be read and dead-lettered by the methods that may wait.
    fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        let _ = max;
        None
    }

    /// Hands out messages, as [`BaseBroker::read`](super::BaseBroker::read) does.
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>>;

    /// Whether the next read is to be under way while the batch before it is handled: worth it where a read is a
    /// journey, and only then.
    ///
    /// # Contract
    ///
    /// - A read in which somebody has lost interest goes on or leaves no trace: what it would have handed out is there
    ///   for the next one.
    fn reads_ahead(&self) -> bool {
        false
    }

    /// Settles at once where that needs no waiting.
    fn try_ack(&self, runs: &[ReceiptRun]) -> Option<Result<Settlements>> {
        let _ = runs;
        None
    }

    /// Settles one at once where that needs no waiting, as [`try_ack`](Self::try_ack) does several. It may take a delivery
    /// whose lease has ended for settled as long as nobody else was handed the message.
    fn try_ack_one(&self, receipt: &Receipt) -> Option<Result<Settled>> {
        let answer = self.try_ack(&[(*receipt).into()])?;
        Some(answer.map(|settlements| settlements.get(0).unwrap_or(Settled::NotPending)))
    }

    /// Settles, as [`BaseBroker::ack`](super::BaseBroker::ack) does; unsupported by an endpoint that has none.
    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        let _ = runs;
        unsupported(Capabilities::MESSAGE_ACKNOWLEDGEMENT)
    }

    /// Refuses, as [`BaseBroker::nack`](super::BaseBroker::nack) does; unsupported by an endpoint that has none.
    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        let _ = (runs, disposition, failure);
        unsupported(Capabilities::MESSAGE_REJECTION)
    }

    /// Gives back at once what was handed out and not handled, where that needs no waiting; else answers `false`.
    fn try_give_back(&self, runs: &[ReceiptRun]) -> bool {
        let _ = runs;
        false
    }

    /// Is told that a subscription reads from here by itself from now on, for as long as it keeps this endpoint: whoever
    /// publishes may wait until what it publishes is handled.
    fn subscribed(&self) {}

    /// Is told that this subscription is over, although deliveries of it may still be out: nobody reads from here any
    /// more, and what was sent ahead goes to others.
    fn unsubscribed(&self) {}

    /// Whether what it hands out wants settling; an independent reader's deliveries do not, and such an endpoint needs
    /// neither [`ack`](Self::ack) nor [`nack`](Self::nack).
    fn settles(&self) -> bool {
        true
    }

    /// Leaves the group: what was handed out stays until it is settled, given back, or its lease ends.
    fn leave(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn unsupported<'a, T: Send + 'a>(flag: Capabilities) -> BoxFuture<'a, Result<T>> {
    Box::pin(std::future::ready(Err(Error::unsupported(flag))))
}
