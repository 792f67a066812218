//! Reading: what is there is fetched, what is to come is waited for, and a subscription is sent it ahead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use broker_core::base::Deliveries;
use broker_core::{Error, Result};
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;
use tokio::time::Instant;

use crate::client::lock;
use crate::consumer::Consumer;
use crate::entry::Entry;
use crate::error::from_lapin;

/// The most messages that one read fetches or waits for.
const MOST: usize = 4_096;

impl Consumer {
    /// Hands out up to `max` messages, waiting up to `wait` for the first.
    pub(crate) async fn read(self: &Arc<Self>, max: usize, wait: Duration) -> Result<Deliveries> {
        self.client.check_open()?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let (max, until) = (max.min(MOST), Instant::now() + wait);
        // Whoever waits behind another read of this member waits no longer than it asked to.
        let Ok(_turn) = tokio::time::timeout_at(until, self.turn.lock()).await else {
            return Ok(Deliveries::new());
        };
        let _reading = Reading::new(self);
        let mut closing = std::pin::pin!(self.client.closing.notified());
        closing.as_mut().enable();
        self.client.check_open()?;
        if let Some(batch) = self.hand_out(max) {
            return Ok(batch);
        }
        let (channel, fence) = self.channel().await?;
        if self.subscribed.load(Ordering::Acquire) {
            self.start_stream(&channel, self.client.config.prefetch).await?;
        } else if lock(&self.session)
            .as_ref()
            .is_some_and(|session| session.stream.is_none())
        {
            self.fetch(channel.clone(), fence, max).await?;
            if let Some(batch) = self.hand_out(max) {
                return Ok(batch);
            }
            if wait.is_zero() {
                return Ok(Deliveries::new());
            }
            self.start_stream(&channel, u16::try_from(max).unwrap_or(u16::MAX))
                .await?;
        }
        let arrived = tokio::select! {
            arrived = tokio::time::timeout_at(until, self.arrival()) => arrived.unwrap_or(Ok(())),
            () = closing => return Err(Error::closed()),
        };
        if !self.subscribed.load(Ordering::Acquire) {
            self.stop().await;
        }
        match self.hand_out(max) {
            Some(batch) => Ok(batch),
            None => arrived.map(|()| Deliveries::new()),
        }
    }

    /// Hands out what has come, if anything has.
    fn hand_out(&self, max: usize) -> Option<Deliveries> {
        let mut session = lock(&self.session);
        let session = session
            .as_mut()
            .filter(|session| session.channel.status().connected())?;
        session.drain(
            self,
            &mut std::task::Context::from_waker(std::task::Waker::noop()),
        );
        let batch = session.ledger.hand_out(max, self.member.lease)?;
        Some(batch.deliver(session.fence))
    }

    /// Waits until something has come.
    async fn arrival(&self) -> Result<()> {
        let goes_on = std::future::poll_fn(|context| {
            let mut session = lock(&self.session);
            let Some(session) = &mut *session else {
                return Poll::Ready(false);
            };
            let goes_on = session.drain(self, context);
            if session.ledger.has_unseen() || !goes_on {
                return Poll::Ready(goes_on);
            }
            Poll::Pending
        })
        .await;
        if !goes_on {
            let has_unseen = lock(&self.session)
                .as_ref()
                .is_some_and(|session| session.ledger.has_unseen());
            if !has_unseen {
                self.end_session();
                return Err(lost());
            }
        }
        Ok(())
    }

    /// Fetches what is there, in a task of its own: a dropped read must not drop the server's answer.
    async fn fetch(self: &Arc<Self>, channel: Channel, fence: u64, max: usize) -> Result<()> {
        let consumer = Arc::clone(self);
        let fetching = tokio::spawn(async move {
            let Some(first) = consumer.get(&channel).await? else {
                return Ok(());
            };
            let left = usize::try_from(first.message_count).unwrap_or(usize::MAX);
            consumer.came(fence, first);
            let getting = (1..max).take(left).map(|_| consumer.get(&channel));
            let mut failed = Ok(());
            for got in futures_util::future::join_all(getting).await {
                match got {
                    Ok(Some(got)) => consumer.came(fence, got),
                    Ok(None) => {}
                    Err(error) => failed = Err(error),
                }
            }
            failed
        });
        fetching.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn get(&self, channel: &Channel) -> Result<Option<BasicGetMessage>> {
        let got = channel
            .basic_get(self.queue.clone(), BasicGetOptions::default())
            .await;
        got.map_err(|error| from_lapin(&error))
    }

    fn came(&self, fence: u64, got: BasicGetMessage) {
        let entry = Entry::new(got.delivery, self.client.config.queue_type);
        let mut session = lock(&self.session);
        if let Some(session) = session.as_mut().filter(|session| session.fence == fence) {
            session.ledger.came(entry, self.member.lease);
        }
    }

    /// Ends the server's sending, in a task of its own for the same reason.
    async fn stop(self: &Arc<Self>) {
        let consumer = Arc::clone(self);
        let _ = tokio::spawn(async move { consumer.stop_stream().await }).await;
    }
}

fn lost() -> Error {
    Error::new(
        broker_core::ErrorKind::Connection,
        "the channel of this reader is gone",
    )
    .retry(broker_core::Retry::Safe)
}

/// Notes that a read is under way.
struct Reading<'a>(&'a Consumer);

impl<'a> Reading<'a> {
    fn new(consumer: &'a Consumer) -> Self {
        consumer.reading.fetch_add(1, Ordering::AcqRel);
        Self(consumer)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::AcqRel);
    }
}
