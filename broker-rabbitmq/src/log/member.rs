//! A member of a group that reads a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::base::{Deliveries, Membership};
use broker_core::{ReceiptRun, Result, Settlements};
use broker_window::{Purpose, Reading, Who};
use tokio::time::Instant;

use super::group::Group;
use crate::client::Client;
use crate::told::{gone, tell};

/// How long the first message may be on its way, after reading began.
const FIRST: Duration = Duration::from_millis(250);

/// How long what the server sends is on its way, at the most.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// A member of a group that reads a log.
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
        let group = client
            .readers
            .of(client, &member.stream, &member.group, &member.start)
            .await?;
        Ok(Arc::new(Self {
            member: member.clone(),
            client: Arc::clone(client),
            who: group.join(member),
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
        let (deliveries, any) = {
            let mut state = self.group.state();
            state.touch(&self.member.consumer);
            let any = self.group.arrive(&mut state).is_some_and(|(any, _)| any);
            let deliveries = state
                .live()
                .map_or_else(Deliveries::new, |session| session.read(max, reading));
            (deliveries, any)
        };
        if any {
            // What is left may be for others.
            self.group.arrived.notify_waiters();
        }
        deliveries
    }

    /// Hands out what was taken once that is written down, so that each attempt counts whoever has the group next.
    async fn hand_out(&self, deliveries: Deliveries) -> Result<Deliveries> {
        let change = self.group.change();
        let mut taken = Taken {
            member: self,
            deliveries: Some(deliveries),
        };
        self.group
            .write_down(&self.client, change.ok_or_else(gone)?)
            .await?;
        Ok(taken.deliveries.take().unwrap_or_default())
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
                return self.hand_out(deliveries).await;
            }
            if Instant::now() >= deadline {
                if asked {
                    return Ok(deliveries);
                }
                asked = true;
                self.ask().await?;
                continue;
            }
            let due = {
                let state = self.group.state();
                let session = state.session.as_ref();
                session.map_or(Duration::MAX, |session| self.group.until(session.window.due()))
            };
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
        let mut arrived = std::pin::pin!(self.group.arrived.notified());
        arrived.as_mut().enable();
        let (told, is_heard) = {
            let state = self.group.state();
            match &state.session {
                Some(session) => (tell(&session.channel(), Vec::new()), session.is_heard),
                None => return Ok(()),
            }
        };
        let limit = self.client.context.config.operation_timeout;
        let told = tokio::time::timeout(limit, told).await;
        told.unwrap_or_else(|_| Err(gone()))?;
        if !is_heard {
            // A log that has nothing to send does not say so.
            let _ = tokio::time::timeout(FIRST, arrived).await;
            if let Some(session) = &mut self.group.state().session {
                session.is_heard = true;
            }
        }
        Ok(())
    }

    /// Marks deliveries as done, which is written down when this returns.
    pub(crate) async fn ack(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.client.check_open()?;
        self.settle_for_good(runs, Purpose::Done).await
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) fn extend(&self, runs: &[ReceiptRun], by: Duration) -> Settlements {
        self.settle(runs, Purpose::Extend(self.group.now().after(by))).0
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
        self.group.forget(&self.member.consumer, leaves);
        true
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.forget(false);
    }
}

/// What was taken and nobody has in hand yet; dropped, it is given back.
struct Taken<'a> {
    member: &'a Member,
    deliveries: Option<Deliveries>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(deliveries) = self.deliveries.take() {
            let runs: Vec<_> = deliveries
                .lots()
                .iter()
                .flat_map(|lot| lot.runs_from(0))
                .collect();
            self.member.settle(&runs, Purpose::GiveBack);
        }
    }
}
