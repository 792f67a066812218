//! A member of a group that is read in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::base::{Deliveries, Membership};
use broker_core::{ReceiptRun, Result, Settled, Settlements};
use broker_window::{Purpose, Reading, Tag, Who};
use tokio::time::Instant;

use super::group::Group;
use super::session::Session;
use super::settling::Done;
use crate::client::Client;
use crate::memory::Fate;
use crate::told::tell;

/// How long it may take until it is known how often messages that came back were handed out.
const LEARNING: Duration = Duration::from_secs(1);

/// How long what the server sends is on its way, at the most.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// A member of a group that is read in order.
pub(crate) struct Member {
    pub(crate) member: Membership,
    pub(super) client: Arc<Client>,
    pub(super) group: Arc<Group>,
    pub(super) who: Who,
    left: AtomicBool,
}

impl Member {
    /// Joins the group, which is there when this returns.
    pub(crate) async fn join(client: &Arc<Client>, member: &Membership) -> Result<Arc<Self>> {
        let group = client.groups.of(client, member).await?;
        Ok(Arc::new(Self {
            member: member.clone(),
            client: Arc::clone(client),
            who: group.join(&member.consumer),
            group,
            left: AtomicBool::new(false),
        }))
    }

    fn take(&self, max: usize) -> Deliveries {
        let now = self.group.now();
        let reading = Reading {
            who: self.who,
            now,
            deadline: now.after(self.member.lease),
            sequential: self.member.ordering == broker_core::Ordering::Sequential,
        };
        let (deliveries, is_dirty, any) = {
            let mut state = self.group.state();
            state.used = Instant::now();
            if let Some(session) = &mut state.session {
                session.drain();
                if session.wants_to_know() {
                    session.wake();
                }
            }
            let any = self.group.arrive(&mut state);
            match state
                .session
                .as_mut()
                .filter(|session| session.channel.status().connected())
            {
                Some(session) => (session.read(max, reading), session.is_dirty, any),
                None => (Deliveries::new(), false, any),
            }
        };
        if any {
            // What is left may be for others.
            self.group.arrived.notify_waiters();
        }
        if is_dirty {
            self.group.write_down_soon();
        }
        deliveries
    }

    /// Hands out up to `max` messages, waiting up to `wait` for the first.
    pub(crate) async fn read(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        self.client.check_open()?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        let _waits = self.group.reading();
        // Whoever does not wait is to get what is there, and what the server sends is on its way for a moment.
        let mut asked = wait >= ON_ITS_WAY;
        loop {
            let mut arrived = std::pin::pin!(self.group.arrived.notified());
            arrived.as_mut().enable();
            let mut closing = std::pin::pin!(self.client.closing.notified());
            closing.as_mut().enable();
            self.client.check_open()?;
            self.group.open().await?;
            let deliveries = self.take(max);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            if Instant::now() >= deadline {
                if asked {
                    return Ok(deliveries);
                }
                asked = true;
                self.ask().await?;
                continue;
            }
            let due = self
                .group
                .state()
                .session
                .as_ref()
                .map(|session| session.window.due());
            let due = due.map_or(Duration::MAX, |due| self.group.until(due));
            let due = Instant::now() + due.min(Duration::from_secs(60));
            tokio::select! {
                () = arrived => {}
                () = tokio::time::sleep_until(deadline.min(due)) => {}
                () = closing => return Err(broker_core::Error::closed()),
            }
        }
    }

    /// Asks the server for a sign of life: what it has sent before that is here when this returns.
    async fn ask(&self) -> Result<()> {
        let told = {
            let state = self.group.state();
            match &state.session {
                Some(session) => tell(&session.channel, Vec::new()),
                None => return Ok(()),
            }
        };
        let limit = self.client.context.config.operation_timeout;
        let told = tokio::time::timeout(limit, told).await;
        told.unwrap_or_else(|_| Err(crate::told::gone()))?;
        let mut arrived = std::pin::pin!(self.group.arrived.notified());
        arrived.as_mut().enable();
        let is_learning = {
            let mut state = self.group.state();
            state.session.as_mut().is_some_and(|session| {
                session.drain();
                if session.wants_to_know() {
                    session.wake();
                }
                session.wants_to_know()
            })
        };
        if is_learning {
            // Whoever reads next gets what is known later.
            let _ = tokio::time::timeout(LEARNING, arrived).await;
        }
        Ok(())
    }

    /// Marks deliveries as done.
    pub(crate) async fn ack(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.client.check_open()?;
        let (answers, done) = self.settle(runs, Purpose::Done);
        self.hear(done, Fate::Done).await?;
        Ok(answers)
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) fn extend(&self, runs: &[ReceiptRun], by: Duration) -> Settlements {
        self.settle(runs, Purpose::Extend(self.group.now().after(by))).0
    }

    /// Settles; one answer per receipt, in order.
    pub(super) fn settle(&self, runs: &[ReceiptRun], purpose: Purpose) -> (Settlements, Option<Done>) {
        let now = self.group.now();
        let mut answers = Settlements::all(purpose.answer(), 0);
        let mut done = Vec::new();
        let mut state = self.group.state();
        state.used = Instant::now();
        let mut readied = state.session.as_ref().is_some_and(Session::is_full);
        for run in runs {
            let epoch = Tag::epoch(&run.first);
            let live = state.session.as_mut().filter(|session| session.epoch == epoch);
            match live {
                _ if run.first.attempt == 0 => push(&mut answers, Settled::NotPending, run.len),
                Some(session) if session.channel.status().connected() => {
                    readied |= session.settle(run, (self.who, purpose, now), &mut answers, &mut done);
                }
                _ => {
                    for receipt in run.iter() {
                        let past = state.past.iter().find(|past| past.epoch == epoch);
                        let settled = past.map(|past| past.settled(receipt, self.who, now));
                        answers.push(settled.unwrap_or(Settled::Stale));
                    }
                }
            }
        }
        let session = state.session.as_ref();
        let done = session.and_then(|session| session.tell(done));
        drop(state);
        if readied {
            self.group.arrived.notify_waiters();
        }
        (answers, done)
    }

    /// Waits until the server has heard what was settled as done.
    pub(super) async fn hear(&self, done: Option<Done>, fate: Fate) -> Result<()> {
        let Some(Done { messages, told }) = done else {
            return Ok(());
        };
        let mut doubtful = Doubtful {
            group: &self.group,
            messages,
        };
        let told = told.await;
        if told.is_ok() {
            let done = doubtful.messages.drain(..).map(|(identity, _)| identity);
            self.group.memory.note(done, fate);
        }
        told
    }

    /// Leaves the group: what is in hand stays until it is settled or its lease ends.
    pub(crate) async fn leave(&self) {
        if self.forget(true) && !self.group.has_readers() && self.group.is_idle() {
            self.group.finish(&self.client).await;
        }
    }

    fn forget(&self, leaves: bool) -> bool {
        if self.left.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut state = self.group.state();
        state.users = state.users.saturating_sub(1);
        (state.has_left, state.used) = (leaves && state.users == 0, Instant::now());
        true
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.forget(false);
    }
}

fn push(answers: &mut Settlements, answer: Settled, count: u32) {
    for _ in 0..count {
        answers.push(answer);
    }
}

/// What was acked and may come again: nobody knows whether the server has heard.
struct Doubtful<'a> {
    group: &'a Group,
    messages: Vec<(crate::meta::Identity, u32)>,
}

impl Drop for Doubtful<'_> {
    fn drop(&mut self) {
        for (identity, attempt) in self.messages.drain(..) {
            self.group.memory.note([identity], Fate::Seen(attempt));
        }
    }
}
