//! Reading: what is there is fetched, what is to come is waited for, and a subscription is sent it ahead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use broker_core::base::Deliveries;
use broker_core::{Error, ErrorKind, Result, Retry};
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;
use tokio::time::Instant;

use crate::client::lock;
use crate::consumer::Consumer;
use crate::entry::Entry;
use crate::error::from_lapin;
use crate::told::{gone, tell};

/// The most messages that one read fetches or waits for.
const MOST: usize = 4_096;

/// How many messages are fetched one by one: each is a write to disk where the queue is a quorum queue.
const FEW: usize = 8;

/// How long messages are waited for that were there a moment ago, and that another consumer may have got.
const STRAGGLERS: Duration = Duration::from_millis(50);

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
                let passed = self.fetch(&turn, channel.clone(), fence, max).await?;
                if self.write_anew(&turn).await? || passed {
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

    /// Does something to its end, in a task of its own: a dropped read must not drop the server's answer. A server that
    /// does not answer in `operation_timeout` loses the session, as what it may still send belongs to nobody.
    async fn to_the_end<T: Send + 'static>(
        self: &Arc<Self>,
        turn: &Turn,
        doing: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (turn, consumer) = (Arc::clone(turn), Arc::clone(self));
        let limit = self.client.context.config.operation_timeout;
        let doing = tokio::spawn(async move {
            let answer = tokio::time::timeout(limit, doing).await;
            let answer = answer.unwrap_or_else(|_| {
                consumer.end_session();
                Err(silent(limit))
            });
            drop(turn);
            answer
        });
        doing.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Writes what came back from a consumer that is gone anew with its count, where the server does not count. Answers
    /// whether there was any.
    async fn write_anew(self: &Arc<Self>, turn: &Turn) -> Result<bool> {
        let (fence, uncounted) = {
            let mut session = lock(&self.session);
            let Some(session) = &mut *session else {
                return Ok(false);
            };
            (session.fence, session.ledger.uncounted())
        };
        if uncounted.is_empty() {
            return Ok(false);
        }
        let consumer = Arc::clone(self);
        let writing = async move { consumer.return_unseen(fence, uncounted).await };
        self.to_the_end(turn, writing).await.map(|()| true)
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
        let (batch, settled) = session.ledger.hand_out(max, self.member.lease, &self.memory);
        if !settled.is_empty() {
            session.passed += settled.len();
            let acks = session.ledger.tell(settled);
            // They are on their way when this returns.
            drop(tell(&session.channel, acks));
        }
        Some(batch?.deliver(session.fence))
    }

    /// Waits until something has come.
    async fn arrival(&self) -> Result<()> {
        let goes_on = std::future::poll_fn(|context| {
            let mut session = lock(&self.session);
            let Some(session) = &mut *session else {
                return Poll::Ready(false);
            };
            let goes_on = session.drain(self, context);
            let is_free = self.memory.is_any_free(session.ledger.twins(), context.waker());
            if session.ledger.has_unseen() || is_free || !goes_on {
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
                return Err(gone());
            }
        }
        Ok(())
    }

    /// Fetches what is there: a few messages one by one, and many by having them sent. Answers whether some of it was
    /// settled once more, so that there may be others in its place.
    async fn fetch(self: &Arc<Self>, turn: &Turn, channel: Channel, fence: u64, max: usize) -> Result<bool> {
        let passed = |consumer: &Self| {
            lock(&consumer.session)
                .as_ref()
                .map_or(0, |session| session.passed)
        };
        let (consumer, before) = (Arc::clone(self), passed(self));
        let fetching = async move {
            let Some(first) = consumer.get(&channel).await? else {
                return Ok(());
            };
            let left = usize::try_from(first.message_count).unwrap_or(usize::MAX);
            let more = left.min(max - 1);
            consumer.came(fence, first);
            if more > FEW {
                return consumer.have_sent(&channel, more).await;
            }
            let getting = (0..more).map(|_| consumer.get(&channel));
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
        self.to_the_end(turn, fetching).await?;
        Ok(passed(self) > before)
    }

    /// Has up to `count` messages sent that are there, and waits for them unless others are quicker.
    async fn have_sent(&self, channel: &Channel, count: usize) -> Result<()> {
        let here = || {
            lock(&self.session)
                .as_ref()
                .map_or(0, |session| session.ledger.unseen_len())
        };
        let all = here() + count;
        self.start_stream(channel, count).await?;
        loop {
            let before = here();
            let more = std::future::poll_fn(|context| {
                let mut session = lock(&self.session);
                let Some(session) = &mut *session else {
                    return Poll::Ready(false);
                };
                let goes_on = session.drain(self, context);
                if session.ledger.unseen_len() > before || !goes_on {
                    return Poll::Ready(goes_on);
                }
                Poll::Pending
            });
            let came = tokio::time::timeout(STRAGGLERS, more).await;
            if here() >= all || !matches!(came, Ok(true)) {
                break;
            }
        }
        self.stop_stream().await;
        Ok(())
    }

    /// Has the server send.
    async fn start(self: &Arc<Self>, turn: &Turn, channel: Channel, max: usize) -> Result<()> {
        let consumer = Arc::clone(self);
        let starting = async move { consumer.start_stream(&channel, max).await };
        self.to_the_end(turn, starting).await
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
            session.take(entry, self);
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
        let _ = self.to_the_end(turn, stopping).await;
    }
}

/// The turn to read.
type Turn = Arc<tokio::sync::OwnedMutexGuard<()>>;

fn silent(waited: Duration) -> Error {
    let line = format!("the server did not answer a reader within {waited:?} (operation_timeout)");
    Error::new(ErrorKind::Timeout, line).retry(Retry::Safe)
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
