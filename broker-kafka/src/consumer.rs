//! A member of a group, as it reads and settles.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use broker_core::base::{Deliveries, Disposition, Membership};
use broker_core::{Error, ErrorKind, Failure, Ordering, ReceiptRun, Result, Settled, Settlements};
use broker_window::{Purpose, Who};
use tokio::time::Instant;

use crate::client::{Client, lock};
use crate::session::Session;
use crate::{burial, retry, sessions};

/// A member of a group.
pub(crate) struct Consumer {
    pub(crate) member: Membership,
    pub(crate) client: Arc<Client>,
    /// The membership it last read by, and its number there.
    known: Mutex<Option<(Arc<Session>, Who)>>,
    /// Whether it gave up its place.
    left: AtomicBool,
}

impl Consumer {
    /// Joins the group; it exists when this returns.
    pub(crate) async fn join(client: &Arc<Client>, member: &Membership) -> Result<Arc<Self>> {
        let consumer = Arc::new(Self {
            member: member.clone(),
            client: Arc::clone(client),
            known: Mutex::default(),
            left: AtomicBool::new(false),
        });
        consumer.session().await?;
        Ok(consumer)
    }

    /// The group's membership, which is entered anew where it was left.
    async fn session(&self) -> Result<(Arc<Session>, Who)> {
        if let Some(known) = self.present() {
            return Ok(known);
        }
        let member = &self.member;
        let session = self
            .client
            .session(&member.stream, &member.group, &member.start)
            .await?;
        let who = session.member(&member.consumer, member.lease);
        let known = (session, who);
        *lock(&self.known) = Some(known.clone());
        Ok(known)
    }

    /// The membership it last read by, unless that was left.
    fn present(&self) -> Option<(Arc<Session>, Who)> {
        let known = lock(&self.known);
        known
            .as_ref()
            .filter(|(session, _)| !session.has_ended())
            .cloned()
    }

    fn take(&self, session: &Session, who: Who, max: usize) -> Deliveries {
        session.read(
            max,
            who,
            self.member.lease,
            self.member.ordering == Ordering::Sequential,
        )
    }

    /// Hands out what is there at once.
    pub(crate) fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        if let Err(closed) = self.client.check_open() {
            return Some(Err(closed));
        }
        let (session, who) = self.present()?;
        let deliveries = self.take(&session, who, max);
        (!deliveries.is_empty()).then_some(Ok(deliveries))
    }

    /// Hands out up to `max` messages, waiting up to `wait` for the first.
    pub(crate) async fn read(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        loop {
            self.client.check_open()?;
            let (session, who) = self.session().await?;
            if max == 0 {
                return Ok(Deliveries::new());
            }
            let mut arrived = std::pin::pin!(session.arrived.notified());
            arrived.as_mut().enable();
            let mut closing = std::pin::pin!(self.client.closing.notified());
            closing.as_mut().enable();
            self.client.check_open()?;
            let deliveries = self.take(&session, who, max);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            self.check_trouble(&session).await?;
            if Instant::now() >= deadline {
                return Ok(deliveries);
            }
            let _waits = session.reading();
            let due = session.state().due();
            let due = Instant::now() + session.until(due).min(Duration::from_secs(60));
            tokio::select! {
                () = arrived => {}
                () = tokio::time::sleep_until(deadline.min(due)) => {}
                () = closing => return Err(Error::closed()),
            }
        }
    }

    /// An empty answer means that nothing is there: where the poller met trouble, the server is asked first.
    async fn check_trouble(&self, session: &Session) -> Result<()> {
        let trouble = session.state().trouble.clone();
        let Some((since, error)) = trouble else {
            return Ok(());
        };
        if error.kind() != ErrorKind::Connection {
            return Err(error);
        }
        self.client.ping(self.client.context.config.ping_timeout).await?;
        let mut state = session.state();
        if state.trouble.as_ref().is_some_and(|(at, _)| *at == since) {
            state.trouble = None;
        }
        Ok(())
    }

    /// Marks deliveries as done, unless that has to wait.
    pub(crate) fn try_ack(&self, runs: &[ReceiptRun]) -> Option<Result<Settlements>> {
        let late = lock(&self.known)
            .as_ref()
            .is_some_and(|(session, _)| session.is_late());
        (!late).then(|| self.settle(runs, Purpose::Done))
    }

    /// Marks deliveries as done. Where the group takes no commits it waits until it does: what is answered is written
    /// down soon, or was already.
    pub(crate) async fn ack(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        let known = lock(&self.known).clone();
        let answers = self.settle_by(known.as_ref(), runs, |_| Purpose::Done)?;
        let Some((session, _)) = known.filter(|(session, _)| session.is_late()) else {
            return Ok(answers);
        };
        session.until_committed().await;
        Ok(session.once_committed(runs, &answers))
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) fn extend(&self, runs: &[ReceiptRun], by: Duration) -> Result<Settlements> {
        self.settle_at(runs, |session| Purpose::Extend(session.now().after(by)))
    }

    /// Gives back what was never handled.
    pub(crate) fn give_back(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.settle(runs, Purpose::GiveBack)
    }

    fn settle(&self, runs: &[ReceiptRun], purpose: Purpose) -> Result<Settlements> {
        self.settle_at(runs, |_| purpose)
    }

    fn settle_at(
        &self,
        runs: &[ReceiptRun],
        purpose: impl FnOnce(&Session) -> Purpose,
    ) -> Result<Settlements> {
        // A membership that was left still knows what was settled in it.
        let known = lock(&self.known).clone();
        self.settle_by(known.as_ref(), runs, purpose)
    }

    fn settle_by(
        &self,
        known: Option<&(Arc<Session>, Who)>,
        runs: &[ReceiptRun],
        purpose: impl FnOnce(&Session) -> Purpose,
    ) -> Result<Settlements> {
        self.client.check_open()?;
        let Some((session, who)) = known else {
            let mut answers = Settlements::all(Settled::Stale, 0);
            for receipt in runs.iter().flat_map(|run| run.iter()) {
                answers.push(if receipt.attempt == 0 {
                    Settled::NotPending
                } else {
                    Settled::Stale
                });
            }
            return Ok(answers);
        };
        let purpose = purpose(session);
        Ok(session.settle(runs, *who, purpose))
    }

    /// Refuses deliveries.
    pub(crate) async fn nack(
        &self,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        match disposition {
            Disposition::Requeue { delay } => match self.may_move() {
                Some((session, who)) => retry::move_all(&self.client, &session, who, runs, delay).await,
                None => self.settle_at(runs, |session| {
                    Purpose::Requeue(session.now().after(delay), SystemTime::now())
                }),
            },
            Disposition::GiveBack => self.give_back(runs),
            Disposition::Discard => Ok(nacked(&self.ack(runs).await?)),
            Disposition::DeadLetter | Disposition::WornOut => {
                self.client.check_open()?;
                match self.present() {
                    Some((session, who)) => burial::bury(self, &session, who, runs, (disposition, failure))
                        .await
                        .map(|answers| nacked(&answers)),
                    None => self.ack(runs).await,
                }
            }
        }
    }

    /// The membership whose refused messages go to a retry topic. Where a key's order counts they stay: those behind
    /// them wait.
    fn may_move(&self) -> Option<(Arc<Session>, Who)> {
        let moves = self.client.config.retry_topic && self.member.ordering != Ordering::Sequential;
        self.client.check_open().ok()?;
        let (session, who) = self.present().filter(|_| moves)?;
        session.places.retry.is_some().then_some((session, who))
    }

    /// Gives up the place in the group, unless others of this process are in it. What is in hand stays.
    pub(crate) async fn leave(&self) {
        if self.left.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        let Some((session, _)) = self.present() else {
            return;
        };
        session.forget(true);
        let alone = {
            let state = session.state();
            state.users == 0 && !state.is_in_hand()
        };
        if alone {
            let _ = sessions::stop(&session).await;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !*self.left.get_mut()
            && let Some((session, _)) = self.present()
        {
            session.forget(false);
        }
    }
}

/// What was asked to be refused was refused.
fn nacked(answers: &Settlements) -> Settlements {
    let mut nacked = Settlements::all(Settled::Nacked, 0);
    for answer in answers.iter() {
        nacked.push(if answer == Settled::Acked {
            Settled::Nacked
        } else {
            answer
        });
    }
    nacked
}
