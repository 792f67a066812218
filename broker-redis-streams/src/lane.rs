//! What a reader has under way, kept over dropped futures.

use std::collections::VecDeque;
use std::time::Duration;

use broker_core::base::BoxFuture;
use broker_core::{Error, Result};
use tokio::time::Instant;

use crate::claim::{Claimed, Cursor};
use crate::client::Client;
use crate::entry::Entry;

/// How long the answer to a read is waited for, once the server is known to have given it.
const ANSWER_PATIENCE: Duration = Duration::from_millis(250);

/// The bounds of how often a reader looks for members that are long dead.
const REAP_INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));

/// What a reader has under way.
///
/// A caller only lends its attention: requests live here, so that dropping a call's future cuts no command in half and
/// leaves no entry pending that nobody knows of. What arrives for nobody is kept for the next call.
#[derive(Default)]
pub(crate) struct Lane {
    /// A read at the server.
    pub(crate) reading: Option<BoxFuture<'static, Result<Arrived>>>,
    /// Whether that read goes on by itself.
    pub(crate) detached: bool,
    /// The group's epoch when that read began.
    pub(crate) reading_epoch: u32,
    /// A look at what is due.
    pub(crate) claiming: Option<BoxFuture<'static, Result<Claimed>>>,
    /// Where the next look at leases goes on.
    pub(crate) cursor: Cursor,
    /// When leases that have ended were last looked for.
    pub(crate) searched_at: Option<Instant>,
    /// Since when the server says that the answer to the read is on its way.
    pub(crate) overdue: Option<Instant>,
    /// When that read was sent.
    pub(crate) reading_since: Option<Instant>,
    /// Whether a task will give back what nobody asks for.
    pub(crate) tidied: bool,
    /// What nobody was given and is no longer ours to give: it goes back before anything is claimed.
    pub(crate) discarded: Vec<Arrived>,
    /// When members that are long dead were last looked for.
    pub(crate) reaped_at: Option<Instant>,
    /// Until when somebody watched the requests: what arrived later did so unseen.
    attended: Option<Instant>,
    ready: VecDeque<Arrived>,
}

/// Entries that arrived together.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Their leases certainly began then or later: when they were asked for.
    pub(crate) since: Instant,
    /// Their leases began about then.
    pub(crate) seen: Instant,
    /// The group's epoch when they were handed out.
    pub(crate) epoch: u32,
    /// The token for plain acks, if it is certain to be theirs.
    pub(crate) token: Option<u32>,
    pub(crate) entries: Vec<Entry>,
}

impl Lane {
    /// Begins to watch; answers since when nobody did.
    pub(crate) fn attend(&mut self) -> Option<Instant> {
        self.attended.take()
    }

    /// Stops watching. A read goes on by itself, so that it does not keep a connection that nobody drives.
    pub(crate) fn leave(&mut self, client: &Client) {
        self.attended = Some(Instant::now());
        if self.detached || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        if let Some(reading) = self.reading.take() {
            let (answer, answered) = tokio::sync::oneshot::channel();
            client.spawn(async move {
                let _ = answer.send(reading.await);
            });
            self.detached = true;
            self.reading = Some(Box::pin(async move {
                answered.await.unwrap_or_else(|_| Err(Error::closed()))
            }));
        }
    }

    /// Whether it is time to look for members that gave no sign of life for `dead`.
    pub(crate) fn reaps(&mut self, dead: Duration) -> bool {
        let interval = (dead / 4).clamp(REAP_INTERVAL.0, REAP_INTERVAL.1);
        let due = self.reaped_at.is_some_and(|last| last.elapsed() >= interval);
        if due || self.reaped_at.is_none() {
            self.reaped_at = Some(Instant::now());
        }
        due
    }

    /// When to look for ended leases again.
    pub(crate) fn search_at(&self, interval: Duration) -> Instant {
        self.searched_at.map_or_else(Instant::now, |last| last + interval)
    }

    /// Keeps what arrived for the next call.
    pub(crate) fn keep(&mut self, arrived: Arrived) {
        if !arrived.entries.is_empty() {
            self.ready.push_back(arrived);
        }
    }

    /// Keeps what a claim brought.
    pub(crate) fn keep_claimed(&mut self, claimed: Claimed) {
        self.cursor = claimed.cursor;
        self.overdue = claimed.held.and_then(|out| {
            let now = Instant::now();
            // The read can have been handed only what is out for a shorter time than it.
            let possible = self.reading_since.is_some_and(|since| out <= since.elapsed());
            match possible {
                true => self.overdue.or(Some(now)),
                false => now.checked_sub(ANSWER_PATIENCE),
            }
        });
        self.keep(claimed.arrived);
    }

    /// Takes out everything that nobody was given.
    pub(crate) fn take_all(&mut self) -> Vec<Arrived> {
        let mut all = std::mem::take(&mut self.discarded);
        all.extend(self.ready.drain(..));
        all
    }

    /// Takes out up to `max` entries that lie together; what is older than its lease belongs to others now, and what is
    /// of another epoch comes anew.
    pub(crate) fn take(&mut self, max: usize, lease: Duration, epoch: u32) -> Option<Arrived> {
        while let Some(mut arrived) = self.ready.pop_front() {
            if arrived.seen.elapsed() >= lease || arrived.epoch != epoch {
                self.discarded.push(arrived);
                continue;
            }
            if arrived.entries.len() > max {
                let rest = arrived.split_off(max);
                self.ready.push_front(rest);
            }
            return Some(arrived);
        }
        None
    }

    /// For how long nobody has watched.
    pub(crate) fn unattended(&self) -> Option<Duration> {
        self.attended.map(|until| until.elapsed())
    }

    /// For how long a read has gone without its answer, as far as a claim has to know: where the answer does not come
    /// in spite of all patience, what was left alone for it is claimed.
    pub(crate) fn unanswered(&self) -> Option<Duration> {
        let patient = self.overdue.is_none_or(|since| since.elapsed() < ANSWER_PATIENCE);
        self.reading.as_ref().filter(|_| patient)?;
        self.reading_since.map(|since| since.elapsed())
    }

    /// When to look again what is due, where that can't wait for the usual time.
    pub(crate) fn claim_early(&self) -> Option<Instant> {
        if !self.discarded.is_empty() {
            return Some(Instant::now());
        }
        self.overdue.map(|since| since + ANSWER_PATIENCE)
    }

    /// Whether nothing is under way or kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.reading.is_none()
            && self.claiming.is_none()
            && self.ready.is_empty()
            && self.discarded.is_empty()
    }
}

impl Arrived {
    /// Entries that were asked for at `since`.
    pub(crate) fn new(since: Instant, epoch: u32, entries: Vec<Entry>) -> Self {
        Self {
            since,
            seen: since,
            epoch,
            token: None,
            entries,
        }
    }

    /// All but the first `max` entries.
    fn split_off(&mut self, max: usize) -> Self {
        let entries = self.entries.split_off(max);
        Self { entries, ..*self }
    }

    pub(crate) fn nothing() -> Self {
        Self::new(Instant::now(), 0, Vec::new())
    }
}

/// A request's answer; without a request, never.
pub(crate) async fn ready<T>(request: &mut Option<BoxFuture<'static, T>>) -> T {
    match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}
