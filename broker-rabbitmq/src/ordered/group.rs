//! A group's one consumer in this process, and the members that share what comes by it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use broker_core::base::Membership;
use broker_core::{BrokerEvent, ConsumerName, Error, ErrorKind, GroupName, Result, Retry, StreamName};
use broker_window::{Moment, Who};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::notes::Notes;
use super::session::Session;
use super::settling::Past;
use super::{pump, record};
use crate::client::{Client, lock};
use crate::error::from_lapin;
use crate::memory::Memory;
use crate::told::gone;

/// How many members are known by their names.
const NAMES: usize = 4_096;

/// How many sessions are remembered, so that what was settled in them is not called stale.
const PAST: usize = 4;

/// A group that this process reads in order.
pub(crate) struct Group {
    pub(super) client: Weak<Client>,
    pub(super) stream: StreamName,
    pub(super) group: GroupName,
    pub(super) queue: ShortString,
    pub(super) memory: Arc<Memory>,
    state: Mutex<State>,
    /// Told when something may be read.
    pub(super) arrived: Notify,
    /// One opening or ending of a session at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// One writing of notes at a time, as the last one written counts.
    writing: tokio::sync::Mutex<()>,
    /// Whether somebody is going to write them.
    is_to_be_written: AtomicBool,
    /// Read calls that wait.
    readers: AtomicUsize,
    pump: Mutex<Option<AbortHandle>>,
    clock: Instant,
}

/// What a group knows, behind its lock.
pub(super) struct State {
    pub(super) session: Option<Session>,
    /// The sessions before, where all that was settled in them was heard.
    pub(super) past: VecDeque<Past>,
    /// What is known of messages that are going to come again.
    pub(super) notes: Notes,
    members: HashMap<ConsumerName, Who>,
    numbered: u32,
    /// Members that joined and did not leave.
    pub(super) users: usize,
    /// Whether the last of them said that it leaves.
    pub(super) has_left: bool,
    /// When a member last read or settled.
    pub(super) used: Instant,
    was_open: bool,
}

/// Tells each session of this process from all others.
static EPOCHS: AtomicU32 = AtomicU32::new(1);

impl Group {
    pub(super) fn new(client: &Arc<Client>, member: &Membership, queue: ShortString) -> Self {
        Self {
            client: Arc::downgrade(client),
            stream: member.stream.clone(),
            group: member.group.clone(),
            memory: Memory::of(&client.config, &queue),
            queue,
            state: Mutex::new(State {
                session: None,
                past: VecDeque::new(),
                notes: Notes::default(),
                members: HashMap::new(),
                numbered: 0,
                users: 0,
                has_left: false,
                used: Instant::now(),
                was_open: false,
            }),
            arrived: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            is_to_be_written: AtomicBool::new(false),
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

    /// A member joins; answers its number.
    pub(super) fn join(&self, name: &ConsumerName) -> Who {
        let mut state = self.state();
        (state.has_left, state.used) = (false, Instant::now());
        state.users += 1;
        let next = state.numbered;
        if let Some(who) = state.members.get(name) {
            return *who;
        }
        if state.members.len() >= NAMES {
            state.members.clear();
        }
        // Numbers are not used again: an old receipt must not become a new member's.
        state.numbered += 1;
        let who = Who::member(next).unwrap_or(Who::NOBODY);
        state.members.insert(name.clone(), who);
        who
    }

    /// Has a session, which is opened if there is none.
    pub(super) async fn open(self: &Arc<Self>) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let client = self.client()?;
        let (group, limit) = (Arc::clone(self), client.context.config.operation_timeout);
        // In a task of its own: a dropped read must not leave a consumer that nobody reads from.
        let opening = tokio::spawn(async move {
            let _turn = group.turn.lock().await;
            if group.is_open() {
                return Ok(());
            }
            client.check_open()?;
            match tokio::time::timeout(limit, group.begin(&client)).await {
                Ok(begun) => begun,
                Err(_) => Err(silent(limit)),
            }
        });
        opening.await.unwrap_or_else(|_| Err(gone()))
    }

    fn is_open(&self) -> bool {
        let state = self.state();
        let session = state.session.as_ref();
        session.is_some_and(|session| !session.is_ending && session.channel.status().connected())
    }

    async fn begin(self: &Arc<Self>, client: &Arc<Client>) -> Result<()> {
        self.lose(None);
        if self.state().was_open && client.find_again(&self.stream, &self.group, &self.queue).await? {
            client.context.events.send(BrokerEvent::GroupRecreated {
                stream: self.stream.clone(),
                group: self.group.clone(),
                position: None,
            });
        }
        let channel = client.asking().await?;
        let starting = async {
            // With the same everywhere, whoever takes over gets all that comes back at once, so that it comes back in order
            // if that one fails too.
            let prefetch = client.config.prefetch_count;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
            channel
                .basic_consume(self.queue.clone(), ShortString::default(), options, none)
                .await
        };
        let stream = starting.await.map_err(|error| from_lapin(&error))?;
        let epoch = EPOCHS.fetch_add(1, Ordering::Relaxed);
        {
            let mut state = self.state();
            state.session = Some(Session::new(channel, stream, epoch));
            (state.was_open, state.used) = (true, Instant::now());
        }
        let pumping = tokio::spawn(pump::run(Arc::downgrade(self), epoch));
        if let Some(before) = lock(&self.pump).replace(pumping.abort_handle()) {
            before.abort();
        }
        Ok(())
    }

    /// Forgets the session, or only the one of this epoch, whose channel is gone; the server gives its messages to whoever
    /// is next.
    pub(super) fn lose(&self, epoch: Option<u32>) {
        let lost = {
            let mut state = self.state();
            let lost = state
                .session
                .take_if(|session| epoch.is_none_or(|epoch| epoch == session.epoch));
            if let Some(session) = &lost {
                state.notes.merge(&session.notes(true));
            }
            lost
        };
        if lost.is_some() {
            self.memory.lost();
            self.arrived.notify_waiters();
        }
    }

    /// Gives the queue to whoever is next, after what is known of its messages is written down.
    pub(super) async fn finish(&self, client: &Client) {
        let _turn = self.turn.lock().await;
        let notes = {
            let mut state = self.state();
            let Some(session) = &mut state.session else {
                return;
            };
            if !session.channel.status().connected() {
                drop(state);
                return self.lose(None);
            }
            session.is_ending = true;
            session.drain();
            let mut notes = session.notes(true);
            notes.merge(&state.notes);
            notes
        };
        let limit = client.context.config.operation_timeout;
        if !notes.is_empty() {
            let _writing = self.writing.lock().await;
            // What can't be written counts as the server has it.
            let _ = tokio::time::timeout(limit, record::write(client, &self.queue, &notes, true)).await;
        }
        let session = {
            let mut state = self.state();
            state.notes.merge(&notes);
            state.session.take()
        };
        if let Some(session) = session {
            let closing = session.channel.close(200, "left".into());
            let heard = tokio::time::timeout(limit, closing).await;
            if matches!(heard, Ok(Ok(()))) {
                let mut state = self.state();
                state.past.push_back(session.into_past());
                if state.past.len() > PAST {
                    state.past.pop_front();
                }
            }
        }
        self.arrived.notify_waiters();
    }

    /// Writes down what the server's counts don't tell, unless nothing changed since.
    pub(super) async fn write_down(&self, client: &Client) -> Result<()> {
        let _writing = self.writing.lock().await;
        // What changes from here on is for the next one.
        self.is_to_be_written.store(false, Ordering::Release);
        let notes = {
            let mut state = self.state();
            let State { session, notes, .. } = &mut *state;
            let Some(session) = session else { return Ok(()) };
            if !std::mem::take(&mut session.is_dirty) {
                return Ok(());
            }
            let mut all = session.notes(false);
            all.merge(notes);
            all
        };
        let written = record::write(client, &self.queue, &notes, false).await;
        if written.is_err()
            && let Some(session) = &mut self.state().session
        {
            session.is_dirty = true;
        }
        written
    }

    /// Has it written down soon, by one task for all who ask meanwhile.
    pub(super) fn write_down_soon(self: &Arc<Self>) {
        let Some(client) = self.client.upgrade() else {
            return;
        };
        if !self.is_to_be_written.swap(true, Ordering::AcqRel) {
            let group = Arc::clone(self);
            tokio::spawn(async move {
                // The next one tries again.
                let _ = group.write_down(&client).await;
            });
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

    /// How many deliveries it has that are not settled, and whether there is no room for more.
    pub(super) fn held(&self) -> (u64, bool) {
        let state = self.state();
        let session = state.session.as_ref();
        session.map_or((0, false), |session| (session.unsettled(), session.is_full()))
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

fn silent(waited: Duration) -> Error {
    let line = format!("the server did not answer a reader within {waited:?} (operation_timeout)");
    Error::new(ErrorKind::Timeout, line).retry(Retry::Safe)
}
