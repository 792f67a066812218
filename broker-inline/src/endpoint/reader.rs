//! A member of a group.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{BoxFuture, Deliveries, Disposition, Membership, ReadEndpoint};
use broker_core::{Failure, Receipt, ReceiptRun, Result, Settled, Settlements, StartPosition};

use crate::group::{Consumer, Group};
use crate::session::Session;
use crate::stream::Stream;
use crate::sync::{AtomicBool, Ordering};

/// A member of a group.
pub(crate) struct Reader {
    session: Arc<Session>,
    stream: Arc<Stream>,
    group: Arc<Group>,
    consumer: Consumer,
    /// Where the group starts if it was deleted.
    start: StartPosition,
    subscribed: AtomicBool,
}

impl Reader {
    pub(crate) fn new(session: Arc<Session>, member: &Membership) -> Result<Self> {
        let (stream, group, consumer) = session.enter(member)?;
        Ok(Self {
            session,
            stream,
            group,
            consumer,
            start: member.start.clone(),
            subscribed: AtomicBool::new(false),
        })
    }

    /// Publishers need not wait for it any longer.
    fn unsubscribe(&self) {
        if self.subscribed.swap(false, Ordering::Relaxed) {
            self.group.unsubscribed();
            self.session.hub.handlings.tell();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl ReadEndpoint for Reader {
    #[inline]
    fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        self.session
            .try_read(&self.stream, &self.group, &self.consumer, &self.start, max)
    }

    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(
            self.session
                .read(&self.stream, &self.group, &self.consumer, &self.start, max, wait),
        )
    }

    #[inline]
    fn try_ack(&self, runs: &[ReceiptRun]) -> Option<Result<Settlements>> {
        Some(
            self.session
                .ack(&self.stream, &self.group, Some(&self.consumer.member), runs),
        )
    }

    #[inline]
    fn try_ack_one(&self, receipt: &Receipt) -> Option<Result<Settled>> {
        Some(
            self.session
                .ack_one(&self.stream, &self.group, &self.consumer.member, receipt),
        )
    }

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async {
            self.session
                .ack(&self.stream, &self.group, Some(&self.consumer.member), runs)
        })
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async move {
            let member = Some(&*self.consumer.member);
            self.session
                .nack(&self.stream, &self.group, member, runs, disposition, failure)
        })
    }

    fn try_give_back(&self, runs: &[ReceiptRun]) -> bool {
        let member = Some(&*self.consumer.member);
        self.session
            .give_back(&self.stream, &self.group, member, runs)
            .is_ok()
    }

    fn subscribed(&self) {
        if !self.subscribed.swap(true, Ordering::Relaxed) {
            self.group.subscribed();
        }
    }

    fn settles(&self) -> bool {
        self.consumer.settles
    }

    fn leave(&self) -> BoxFuture<'_, Result<()>> {
        self.unsubscribe();
        self.consumer.member.leave();
        Box::pin(std::future::ready(Ok(())))
    }
}
