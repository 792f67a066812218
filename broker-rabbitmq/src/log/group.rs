//! A group's one reader in this process, and the members that share what comes by it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;
use std::time::Duration;

use broker_core::base::Membership;
use broker_core::{ConsumerName, Error, GroupName, MemberInfo, Result, StartPosition, StreamName};
use broker_window::{Moment, Who};
use lapin::types::ShortString;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::claim::Claim;
use super::session::{Past, Session};
use crate::client::{Client, lock};

/// How many members are known by their names.
const NAMES: usize = 4_096;

/// How many sessions are remembered, so that what was settled in them is not called stale.
const PAST: usize = 4;

/// A group that this process reads from a log.
pub(crate) struct Group {
    pub(super) client: Weak<Client>,
    pub(super) stream: StreamName,
    pub(super) group: GroupName,
    /// Where it begins if it has to be made again.
    pub(super) start: StartPosition,
    /// The queue of its token.
    pub(super) queue: ShortString,
    state: Mutex<State>,
    /// Told when something may be read.
    pub(super) arrived: Notify,
    /// Told when a token came back, or can't any more.
    pub(super) written: Notify,
    /// One opening or ending of a claim at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// One writing of a token at a time, for all whose changes it tells.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// Whether somebody is about to write one.
    pub(super) is_to_be_written: AtomicBool,
    /// When others were last told of it.
    pub(super) reported: Mutex<Option<Instant>>,
    /// Whether they were not told of the latest token.
    pub(super) is_to_be_reported: AtomicBool,
    /// Read calls that wait.
    readers: AtomicUsize,
    pub(super) pump: Mutex<Option<AbortHandle>>,
    clock: Instant,
}

/// What a group knows, behind its lock.
pub(super) struct State {
    pub(super) claim: Option<Claim>,
    /// There while the token is here.
    pub(super) session: Option<Session>,
    /// The sessions before.
    pub(super) past: VecDeque<Past>,
    /// Whoever takes in what comes.
    pub(super) waker: Waker,
    members: HashMap<ConsumerName, Known>,
    numbered: u32,
    /// Members that joined and did not leave.
    pub(super) users: usize,
    /// Whether the last of them said that it leaves.
    pub(super) has_left: bool,
    /// When a member last read or settled.
    pub(super) used: Instant,
}

/// A member that is known by its name.
struct Known {
    who: Who,
    /// How often it joined without leaving.
    joined: usize,
    seen: Instant,
}

/// Tells windows and claims of this process from each other.
static EPOCHS: AtomicU32 = AtomicU32::new(1);

/// A number that no other window or claim of this process has.
pub(super) fn epoch() -> u32 {
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}

impl Group {
    pub(super) fn new(
        client: &Arc<Client>,
        (stream, group): (&StreamName, &GroupName),
        start: &StartPosition,
        queue: ShortString,
    ) -> Self {
        Self {
            client: Arc::downgrade(client),
            stream: stream.clone(),
            group: group.clone(),
            start: start.clone(),
            queue,
            state: Mutex::new(State {
                claim: None,
                session: None,
                past: VecDeque::new(),
                waker: Waker::noop().clone(),
                members: HashMap::new(),
                numbered: 0,
                users: 0,
                has_left: false,
                used: Instant::now(),
            }),
            arrived: Notify::new(),
            written: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            is_to_be_written: AtomicBool::new(false),
            reported: Mutex::default(),
            is_to_be_reported: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            pump: Mutex::default(),
            clock: Instant::now(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> Moment {
        Moment::at(self.clock.elapsed())
    }

    /// How long from now until `moment`.
    pub(super) fn until(&self, moment: Moment) -> Duration {
        match moment {
            Moment::NEVER => Duration::MAX,
            moment => moment.since(self.now()),
        }
    }

    pub(super) fn client(&self) -> Result<Arc<Client>> {
        self.client.upgrade().ok_or_else(Error::closed)
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.stream, self.group)
    }

    /// A member joins; answers its number.
    pub(super) fn join(&self, member: &Membership) -> Who {
        let mut state = self.state();
        (state.has_left, state.used) = (false, Instant::now());
        state.users += 1;
        if !state.members.contains_key(&member.consumer) {
            if state.members.len() >= NAMES {
                state.members.clear();
            }
            // Numbers are not used again: an old receipt must not become a new member's.
            let who = Who::member(state.numbered).unwrap_or(Who::NOBODY);
            state.numbered += 1;
            let (joined, seen) = (0, Instant::now());
            let known = Known { who, joined, seen };
            state.members.insert(member.consumer.clone(), known);
        }
        let known = state.members.get_mut(&member.consumer);
        known.map_or(Who::NOBODY, |known| {
            known.joined += 1;
            known.who
        })
    }

    /// A member is gone; with `leaves`, it said so. What it has in hand stays until it is settled.
    pub(super) fn forget(&self, name: &ConsumerName, leaves: bool) {
        let mut state = self.state();
        state.users = state.users.saturating_sub(1);
        (state.has_left, state.used) = (leaves && state.users == 0, Instant::now());
        if let Some(known) = state.members.get_mut(name) {
            known.joined = known.joined.saturating_sub(1);
        }
    }

    /// Takes a member's deliveries away and readies them for the others; answers how many, where it is one.
    pub(super) fn remove(&self, name: &ConsumerName) -> Option<u64> {
        let moved = {
            let mut state = self.state();
            let known = state.members.remove(name)?;
            let session = state.session.as_mut();
            session.map_or(0, |session| {
                session.version += 1;
                session.window.release(known.who)
            })
        };
        self.arrived.notify_waiters();
        Some(moved)
    }

    /// Forgets the claim, or only the one of this epoch, whose channel is gone; the server gives the token to whoever is
    /// next.
    pub(super) fn lose(&self, epoch: Option<u32>) {
        let lost = {
            let mut state = self.state();
            let lost = state
                .claim
                .take_if(|claim| epoch.is_none_or(|epoch| epoch == claim.epoch));
            if lost.is_some()
                && let Some(session) = state.session.take()
            {
                state.remember(session);
            }
            lost
        };
        if lost.is_some() {
            self.arrived.notify_waiters();
            self.written.notify_waiters();
        }
    }

    /// A call that waits to read, for as long as the answer lives.
    pub(super) fn reading(&self) -> ReaderWaits<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        ReaderWaits(self)
    }

    pub(super) fn has_readers(&self) -> bool {
        self.readers.load(Ordering::SeqCst) > 0
    }
}

impl State {
    pub(super) fn remember(&mut self, session: Session) {
        self.past.push_back(session.into_past());
        if self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    /// The session, if what it knows still counts.
    pub(super) fn live(&mut self) -> Option<&mut Session> {
        let is_up = self.claim.as_ref().is_some_and(Claim::is_up);
        self.session.as_mut().filter(|_| is_up)
    }

    /// Notes that a member reads or settles.
    pub(super) fn touch(&mut self, name: &ConsumerName) {
        self.used = Instant::now();
        let now = self.used;
        if let Some(known) = self.members.get_mut(name) {
            known.seen = now;
        }
    }

    /// The members with what each holds, by name.
    pub(super) fn members(&self) -> Vec<MemberInfo> {
        let mut held: HashMap<Who, u64> = HashMap::new();
        if let Some(session) = &self.session {
            for who in session.window.holders() {
                *held.entry(who).or_default() += 1;
            }
        }
        let known = self.members.iter().map(|(name, known)| {
            let member = MemberInfo {
                consumer: name.clone(),
                pending: held.get(&known.who).copied().unwrap_or(0),
                idle: known.seen.elapsed(),
            };
            (member, known.joined)
        });
        let there = known.filter(|(member, joined)| *joined > 0 || member.pending > 0);
        let mut members: Vec<_> = there.map(|(member, _)| member).collect();
        members.sort_by(|one, other| one.consumer.cmp(&other.consumer));
        members
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pump) = lock(&self.pump).take() {
            pump.abort();
        }
    }
}

/// A read call that waits.
pub(super) struct ReaderWaits<'a>(&'a Group);

impl Drop for ReaderWaits<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
        self.0.state().used = Instant::now();
    }
}
