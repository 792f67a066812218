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
        let turn = Arc::clone(&self.turn).lock_owned();
        let Ok(turn) = tokio::time::timeout_at(until, turn).await else {
            return Ok(Deliveries::new());
        };
        let turn = Arc::new(turn);
        let _reading = Reading::new(self);
        let mut closing = std::pin::pin!(self.client.closing.notified());
        closing.as_mut().enable();
        self.client.check_open()?;
        loop {
            if let Some(batch) = self.hand_out(max) {
                return Ok(batch);
            }
            let (channel, fence) = self.channel().await?;
            let subscribed = self.subscribed.load(Ordering::Acquire);
            if !subscribed {
                // One that a dropped read has left may have no credit any more.
                self.stop(&turn).await;
                self.fetch(&turn, channel.clone(), fence, max).await?;
                if self.write_anew(&turn).await? {
                    continue;
                }
                if let Some(batch) = self.hand_out(max) {
                    return Ok(batch);
                }
                if wait.is_zero() {
                    return Ok(Deliveries::new());
                }
            }
            self.start(&turn, channel, max).await?;
            let arrived = tokio::select! {
                arrived = tokio::time::timeout_at(until, self.arrival()) => arrived.unwrap_or(Ok(())),
                () = &mut closing => return Err(Error::closed()),
            };
            if !subscribed {
                self.stop(&turn).await;
            }
            if self.write_anew(&turn).await? {
                continue;
            }
            return match self.hand_out(max) {
                Some(batch) => Ok(batch),
                None => arrived.map(|()| Deliveries::new()),
            };
        }
    }

    /// Does something to its end, in a task of its own: a dropped read must not drop the server's answer.
    async fn to_the_end<T: Send + 'static>(
        turn: &Turn,
        doing: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(turn);
        let doing = tokio::spawn(async move {
            let answer = doing.await;
            drop(turn);
            answer
        });
        doing.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Writes what came back from a consumer that is gone anew with its count, where the server does not count. Answers
    /// whether there was any.
    async fn write_anew(self: &Arc<Self>, turn: &Turn) -> Result<bool> {
        let (channel, uncounted) = {
            let mut session = lock(&self.session);
            let Some(session) = &mut *session else {
                return Ok(false);
            };
            (session.channel.clone(), session.ledger.uncounted())
        };
        if uncounted.is_empty() {
            return Ok(false);
        }
        let consumer = Arc::clone(self);
        let writing = async move { consumer.return_unseen(&channel, uncounted).await };
        Self::to_the_end(turn, writing).await.map(|()| true)
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

    /// Fetches what is there.
    async fn fetch(self: &Arc<Self>, turn: &Turn, channel: Channel, fence: u64, max: usize) -> Result<()> {
        let consumer = Arc::clone(self);
        let fetching = async move {
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
        };
        Self::to_the_end(turn, fetching).await
    }

    /// Has the server send.
    async fn start(self: &Arc<Self>, turn: &Turn, channel: Channel, max: usize) -> Result<()> {
        let consumer = Arc::clone(self);
        let starting = async move { consumer.start_stream(&channel, max).await };
        Self::to_the_end(turn, starting).await
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

    /// Ends the server's sending.
    async fn stop(self: &Arc<Self>, turn: &Turn) {
        if lock(&self.session)
            .as_ref()
            .is_none_or(|session| session.stream.is_none())
        {
            return;
        }
        let consumer = Arc::clone(self);
        let stopping = async move {
            consumer.stop_stream().await;
            Ok(())
        };
        let _ = Self::to_the_end(turn, stopping).await;
    }
}

/// The turn to read.
type Turn = Arc<tokio::sync::OwnedMutexGuard<()>>;

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
