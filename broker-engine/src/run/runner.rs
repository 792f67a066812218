//! The loop of one subscriber: read, hand out, stop.

use std::pin::Pin;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use broker_core::broker::{Batch, Delivery, NackOptions, Subscription};
use broker_core::{Failure, Result, Settlements};
use tokio::time::{Instant, Sleep, sleep_until};

use super::lanes::{Dispatched, Lanes};
use super::stopping::{Phase, Stopping};
use super::wiring::Wiring;

/// After so many messages, other tasks of the worker get a turn, unless these took next to no time.
const TURN: u32 = 128;

/// So many turns may follow on one another, for about so long: giving way wakes another worker, which costs more than
/// quick handlers do.
const TURNS: (u32, Duration) = (8, Duration::from_micros(200));

/// A lease is prolonged after this part of it, so that one failed call does no harm.
const LEASE_PART: u32 = 3;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The loop of one subscriber.
pub(crate) struct Runner {
    subscription: Subscription,
    wiring: Wiring,
    lanes: Lanes,
    batch: Option<Batch>,
    drain: Boxed<()>,
    abort: Boxed<()>,
    state: State,
    /// When the leases of what is in hand are prolonged next.
    lease_timer: Option<Pin<Box<Sleep>>>,
    extending: Option<Boxed<Result<Settlements>>>,
    /// What is being handed back.
    returning: Option<Boxed<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Nothing is read any more.
    Draining,
    /// The broker was closed, or the handlers were cut off: nothing is waited for but what is handed back.
    Ending,
}

impl Runner {
    /// A runner of what `subscription` brings.
    pub(crate) fn new(subscription: Subscription, wiring: Wiring, lanes: Lanes, stopping: &Stopping) -> Self {
        Self {
            subscription,
            lanes,
            wiring,
            batch: None,
            drain: Box::pin(stopping.clone().reached(Phase::Draining)),
            abort: Box::pin(stopping.clone().reached(Phase::Aborting)),
            state: State::Running,
            lease_timer: None,
            extending: None,
            returning: None,
        }
    }

    /// Runs until it is stopped or the broker closes; then everything in hand is settled or handed back.
    pub(crate) async fn run(mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
        let (stream, group) = (
            self.wiring.context.stream().clone(),
            self.wiring.context.group().clone(),
        );
        drop((self.batch, self.extending));
        if let Err(error) = self.subscription.close().await {
            tracing::debug!(%error, %stream, %group, "leaving the group");
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.lanes.register(context.waker());
        self.listen_for_the_end(context);
        self.lanes.go_on(&self.wiring);
        let (mut turn, mut turns) = (TURN, Turns::default());
        while self.hands_out() {
            let Some(batch) = &mut self.batch else {
                match self.poll_batch(context) {
                    Poll::Ready(()) => continue,
                    Poll::Pending => break,
                }
            };
            let before = batch.len();
            if turn == 0 {
                if !turns.go_on() {
                    context.waker().wake_by_ref();
                    break;
                }
                turn = TURN;
            }
            turns.begin(before);
            let ended = self.lanes.dispatch(batch, &self.wiring, turn);
            let left = batch.len();
            turn = turn.saturating_sub(u32::try_from(before - left).unwrap_or(u32::MAX));
            match ended {
                Dispatched::All => self.batch = None,
                Dispatched::Full => break,
                // The next read is begun before others get their turn.
                Dispatched::Enough if left == 0 => self.batch = None,
                Dispatched::Enough => {}
            }
        }
        if turn > 0 {
            self.lanes.pause(self.state == State::Running, &self.wiring);
        }
        self.prolong_leases(context);
        if self.state == State::Running {
            return Poll::Pending;
        }
        if let Some(returning) = &mut self.returning {
            std::task::ready!(returning.as_mut().poll(context));
            self.returning = None;
        }
        if self.batch.is_none() && self.lanes.are_idle() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Whether messages are handed to lanes: until the end, and beyond it where they could not be handed back.
    fn hands_out(&self) -> bool {
        match self.state {
            State::Running => true,
            State::Draining => self.batch.is_some(),
            State::Ending => false,
        }
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let next = std::task::ready!(pin!(self.subscription.next_batch()).poll(context));
        match next {
            Some(Ok(batch)) => self.batch = Some(batch),
            Some(Err(error)) => {
                // The subscription reads on by itself, more slowly the longer this lasts.
                self.wiring.tally.read_errors.add(1);
                tracing::warn!(%error, stream = %self.wiring.context.stream(), group = %self.wiring.context.group(), "reading failed");
            }
            None => {
                self.state = State::Ending;
                self.lanes.abort();
                self.lanes.take_waiting();
            }
        }
        Poll::Ready(())
    }

    fn listen_for_the_end(&mut self, context: &mut Context<'_>) {
        if self.state == State::Running && self.drain.as_mut().poll(context).is_ready() {
            self.state = State::Draining;
            self.hand_back();
        }
        if self.state == State::Draining && self.abort.as_mut().poll(context).is_ready() {
            self.state = State::Ending;
            self.cut_off();
        }
    }

    /// Hands back what was read ahead and never handled.
    fn hand_back(&mut self) {
        if !self.wiring.strategy.rejects {
            // It can't be handed back: it is handled to its end.
            return;
        }
        let waiting = self.lanes.take_waiting();
        let batch = self.batch.take();
        let count = waiting.len() + batch.as_ref().map_or(0, Batch::len);
        self.wiring.tally.given_back.add(count as u64);
        if count > 0 {
            self.returning = Some(Box::pin(give_back(batch, waiting)));
        }
    }

    /// Drops what is being handled; it comes again, and this attempt counts.
    fn cut_off(&mut self) {
        let waiting = self.lanes.take_waiting();
        let cut_off = self.lanes.abort();
        let count = cut_off.len() + waiting.len() + self.batch.as_ref().map_or(0, Batch::len);
        self.wiring.tally.abandoned.add(count as u64);
        let (batch, before) = (self.batch.take(), self.returning.take());
        let rejects = self.wiring.strategy.rejects;
        self.returning = Some(Box::pin(async move {
            if let Some(before) = before {
                before.await;
            }
            if rejects {
                give_back(batch, waiting).await;
                let refuse = NackOptions::new()
                    .reason(Failure::new("the handler was cut off at shutdown"))
                    .delay(Duration::ZERO);
                settle_all(cut_off, &refuse).await;
            }
        }));
    }

    fn prolong_leases(&mut self, context: &mut Context<'_>) {
        if !self.wiring.strategy.extends {
            return;
        }
        if let Some(extending) = &mut self.extending
            && let Poll::Ready(answer) = extending.as_mut().poll(context)
        {
            self.extending = None;
            if let Err(error) = answer {
                tracing::warn!(%error, stream = %self.wiring.context.stream(), group = %self.wiring.context.group(), "leases were not prolonged");
            }
        }
        if self.lanes.are_idle() {
            return;
        }
        let part = self.wiring.lease / LEASE_PART;
        let timer = self
            .lease_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + part)));
        if timer.as_mut().poll(context).is_pending() {
            return;
        }
        timer.as_mut().reset(Instant::now() + part);
        // To be woken by the timer it has to be asked once more.
        let _ = timer.as_mut().poll(context);
        let mut receipts = self.lanes.receipts();
        if let Some(batch) = &self.batch {
            receipts.extend(batch.runs());
        }
        if self.extending.is_none() && !receipts.is_empty() {
            let mut extending: Boxed<_> = Box::pin(self.subscription.extend(receipts, self.wiring.lease));
            if extending.as_mut().poll(context).is_pending() {
                self.extending = Some(extending);
            }
        }
    }
}

/// How long a runner has gone on without giving way.
#[derive(Default)]
struct Turns {
    taken: u32,
    /// Since when, where that was worth a look at the clock.
    since: Option<Instant>,
}

impl Turns {
    /// So many messages are about to be handed out.
    fn begin(&mut self, count: usize) {
        if self.since.is_none() && count >= TURN as usize {
            self.since = Some(Instant::now());
        }
    }

    /// Whether another turn may follow the one that is over.
    fn go_on(&mut self) -> bool {
        self.taken += 1;
        let (most, longest) = TURNS;
        self.taken < most && self.since.is_some_and(|since| since.elapsed() < longest)
    }
}

async fn give_back(batch: Option<Batch>, waiting: Vec<Delivery>) {
    let back = NackOptions::new().give_back();
    // The ones that wait for their key came first: handed back last, they would come after those behind them.
    settle_all(waiting, &back).await;
    if let Some(mut batch) = batch
        && let Err(error) = batch.nack(back).await
    {
        tracing::debug!(%error, "messages read ahead were not handed back; they come again when their lease ends");
    }
}

async fn settle_all(deliveries: Vec<Delivery>, how: &NackOptions) {
    for delivery in deliveries {
        if let Err(error) = delivery.nack_with(how.clone()).await {
            tracing::debug!(%error, "a message was not handed back; it comes again when its lease ends");
        }
    }
}
