//! The thread that polls for a group: it never waits for a handler.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker_core::{BrokerEvent, Error, ErrorKind, Result, StartPosition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::choices::OffsetReset;
use crate::client::{Client, blocking, lock};
use crate::committer::Committer;
use crate::intake::Intake;
use crate::orders::Order;
use crate::rebalance::Rebalancer;
use crate::session::Session;
use crate::watchdog::Watchdog;
use crate::{error, names, offsets};

/// How many records are taken in before readers get to see them.
const TURN: usize = 512;
/// The longest sleep: the library wants to be polled now and then, whatever happens.
const NAP: Duration = Duration::from_millis(200);
/// How long a poller that has no room stops polling before it tells the library to stop fetching.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a group that nobody reads any more is kept, in case somebody does again: leaving and joining take as long.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) type GroupConsumer = BaseConsumer<Rebalancer>;

/// Makes the group if it is not there, joins it, and starts its thread.
pub(crate) async fn start(client: &Arc<Client>, session: &Arc<Session>, start: &StartPosition) -> Result<()> {
    let (client, session, start) = (Arc::clone(client), Arc::clone(session), start.clone());
    blocking(move || {
        let id = names::group_id(&session.stream, &session.group);
        let config = client.native.member(&client.config, &id);
        let context = Rebalancer::new(&client, &session);
        let mut consumer: GroupConsumer = config
            .create_with_context(context)
            .map_err(|error| error::from_kafka(&error))?;
        offsets::make_group(&consumer, &session.places, &start, client.patience())?;
        let waking = Arc::downgrade(&session);
        consumer.set_nonempty_callback(move || {
            if let Some(session) = waking.upgrade() {
                session.wake();
            }
        });
        consumer
            .subscribe(&[&session.places.stream.name])
            .map_err(|error| error::from_kafka(&error))?;
        let consumer = Arc::new(consumer);
        let within = client.config.silence_timeout;
        let watchdog = Watchdog::new(&client.native.consumer, within, client.patience());
        let poller = Poller {
            pace: Pace {
                commit_interval: client.config.commit_interval,
                idle_timeout: client.config.idle_timeout,
                room: usize::try_from(client.config.read_buffer_bytes).unwrap_or(usize::MAX),
                patience: client.patience(),
                goes_on: client.config.offset_reset != OffsetReset::Error,
            },
            session: Arc::clone(&session),
            committer: Committer::start(&consumer, watchdog)?,
            consumer,
            paused: false,
            stuffed_since: None,
            committed_at: None,
        };
        let lent = Arc::downgrade(&poller.consumer);
        // Joining may have taken long.
        session.state().used = Some(Instant::now());
        let thread = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poller.run())
            .map_err(|error| Error::new(ErrorKind::Unexpected, "no thread to poll with").source(error))?;
        session.set_poller(thread.thread().clone(), lent);
        session.wake();
        Ok(())
    })
    .await
}

struct Pace {
    commit_interval: Duration,
    idle_timeout: Duration,
    room: usize,
    patience: Duration,
    /// Whether it goes on by itself from a position that the log no longer has.
    goes_on: bool,
}

struct Poller {
    session: Arc<Session>,
    consumer: Arc<GroupConsumer>,
    committer: Committer,
    pace: Pace,
    /// Whether everything is paused, for want of room.
    paused: bool,
    stuffed_since: Option<Instant>,
    committed_at: Option<Instant>,
}

impl Poller {
    fn run(mut self) {
        loop {
            for order in self.session.orders.take() {
                match order {
                    Order::Commit(answer) => drop(answer.send(self.commit_now())),
                    Order::Seek(position, answer) => drop(answer.send(self.seek(&position))),
                    Order::Stop(done) => return self.stop(done),
                }
            }
            let more = self.poll();
            let revoking = self.consumer.context().finish_revocation(&self.consumer, false);
            self.commit_soon();
            if self.session.has_ended() || self.is_idle() {
                tracing::debug!(stream = %self.session.stream, group = %self.session.group, "the group is left");
                let (done, _) = oneshot::channel();
                return self.stop(done);
            }
            if !more {
                let revoking = revoking.map_or(NAP, |until| until.saturating_duration_since(Instant::now()));
                let nap = self.nap().min(revoking);
                if !nap.is_zero() {
                    std::thread::park_timeout(nap);
                }
            }
        }
    }

    /// Takes in what the library has; answers whether there may be more at once.
    fn poll(&mut self) -> bool {
        if !self.make_room() {
            return false;
        }
        let context = Arc::clone(self.consumer.context());
        let mut more = true;
        for _ in 0..TURN {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(record)) => lock(&context.intake).push(&record),
                Some(Err(error)) => self.trouble(&error),
                None if context.has_served() => {}
                None => {
                    more = false;
                    break;
                }
            }
        }
        context.flush();
        more
    }

    /// Whether there is room for more. Where there is none for long, the library is told to stop fetching.
    fn make_room(&mut self) -> bool {
        let (stuffed, full, free) = {
            let state = self.session.state();
            let room = if self.paused {
                self.pace.room / 2
            } else {
                self.pace.room
            };
            let (mut full, mut free) = (Vec::new(), Vec::new());
            for partition in state.partitions.values() {
                match (state.is_full(partition, self.pace.room), partition.paused) {
                    (true, false) => full.push(partition.number),
                    (false, true) => free.push(partition.number),
                    _ => {}
                }
            }
            (state.is_stuffed(room), full, free)
        };
        if !full.is_empty() {
            self.pause(&full, true);
        }
        if !stuffed {
            self.stuffed_since = None;
            if self.paused {
                self.paused = false;
                let all: Vec<_> = {
                    let state = self.session.state();
                    let partitions = state.partitions.values();
                    let open = partitions.filter(|partition| !state.is_full(partition, self.pace.room));
                    open.map(|partition| partition.number).collect()
                };
                self.pause(&all, false);
            } else if !free.is_empty() {
                self.pause(&free, false);
            }
            return true;
        }
        if self.paused {
            return true;
        }
        let since = *self.stuffed_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return false;
        }
        self.paused = true;
        let all: Vec<_> = self.session.state().partitions.keys().copied().collect();
        self.pause(&all, true);
        true
    }

    fn pause(&self, partitions: &[u32], pause: bool) {
        let list = self.session.places.list(partitions.iter().copied());
        let told = if pause {
            self.consumer.pause(&list)
        } else {
            self.consumer.resume(&list)
        };
        if let Err(error) = told {
            tracing::debug!(%error, "pausing or resuming");
            return;
        }
        let mut state = self.session.state();
        for number in partitions {
            if let Some(partition) = state.partitions.get_mut(number) {
                partition.paused = pause;
            }
        }
    }

    /// How long nothing needs to be done.
    fn nap(&self) -> Duration {
        let (due, dirty) = {
            let state = self.session.state();
            (
                state.due(),
                state.partitions.values().any(|partition| partition.dirty),
            )
        };
        let due = self.session.until(due);
        if due.is_zero() {
            let now = self.session.now();
            let mut state = self.session.state();
            for partition in state.partitions.values_mut() {
                partition.window.tick(now);
            }
            drop(state);
            self.session.arrived.notify_waiters();
            return Duration::from_millis(1);
        }
        let mut nap = NAP.min(due);
        if dirty {
            let since = self.committed_at.map_or(Duration::MAX, |at| at.elapsed());
            let wait = self.pace.commit_interval.saturating_sub(since);
            nap = nap.min(wait.max(Duration::from_millis(1)));
        }
        if self.stuffed_since.is_some() && !self.paused {
            nap = nap.min(Duration::from_millis(5));
        }
        nap
    }

    /// Nobody has read or settled for long, and nobody holds anything: others may have the partitions.
    fn is_idle(&self) -> bool {
        if self.session.has_readers() {
            return false;
        }
        let state = self.session.state();
        let idle = state.used.map_or(Duration::ZERO, |used| used.elapsed());
        // Who leaves while it joins keeps the other members waiting.
        if state.users == 0 && state.assigned && (state.left || idle > GRACE) {
            return !state.is_in_hand();
        }
        idle > self.pace.idle_timeout && !state.is_in_hand()
    }

    /// Has what changed committed, if the last time is long enough ago.
    fn commit_soon(&mut self) {
        if self
            .committed_at
            .is_some_and(|at| at.elapsed() < self.pace.commit_interval)
        {
            return;
        }
        if self.session.state().partitions.values().any(|one| one.dirty) {
            self.committed_at = Some(Instant::now());
            self.committer.tell();
        }
    }

    /// Commits what changed, and waits for it.
    fn commit_now(&self) -> Result<()> {
        let context = self.consumer.context();
        context.flush();
        context
            .commit(&self.consumer)
            .map_err(|error| error::from_kafka(&error))
    }

    fn seek(&mut self, position: &StartPosition) -> Result<()> {
        self.consumer.context().flush();
        let places = &self.session.places;
        let owned = self.session.state().partitions.len();
        if owned != places.numbers().len() {
            return Err(Error::new(
                ErrorKind::Throttled,
                "other members own some of the partitions; stop them first, or wait until this one owns all",
            ));
        }
        let targets = offsets::resolve_move(&self.consumer, places, position, self.pace.patience)?;
        let mut list = TopicPartitionList::new();
        {
            let mut state = self.session.state();
            for (number, start) in &targets {
                if let Some(partition) = state.partitions.get_mut(number) {
                    partition.move_to(*start, crate::session::next_epoch());
                }
                places.add(&mut list, *number, *start)?;
            }
        }
        self.consumer
            .seek_partitions(list, self.pace.patience)
            .map_err(|error| error::from_kafka(&error))?;
        self.commit_now()
    }

    fn trouble(&self, error: &KafkaError) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        tracing::debug!(%error, stream = %self.session.stream, group = %self.session.group, "polling");
        let fatal =
            matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == RDKafkaErrorCode::Fatal;
        if fatal {
            // What is fatal ends the library's client: the next read begins anew.
            tracing::warn!(%error, "the consumer failed for good and is replaced");
            self.session.end();
            return;
        }
        let error = match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => return,
            // The library tells of each, also of those that it goes on from.
            RDKafkaErrorCode::AutoOffsetReset if self.pace.goes_on => return,
            RDKafkaErrorCode::AutoOffsetReset => Error::new(
                ErrorKind::NotFound,
                "the log no longer has the group's position; move the group, or set `offset_reset`",
            ),
            code => error::from_code(code),
        };
        self.session.state().trouble = Some((Instant::now(), error));
        self.session.arrived.notify_waiters();
    }

    /// Commits, leaves, and ends the library's client, which blocks.
    fn stop(self, done: oneshot::Sender<()>) {
        self.session.end();
        self.consumer.context().finish_revocation(&self.consumer, true);
        if let Err(error) = self.commit_now() {
            tracing::debug!(%error, "the last commit failed: what it told comes again");
        }
        self.consumer.context().leave();
        if let Some(client) = self.consumer.context().client() {
            client.statistics.forget(&self.session.name());
        }
        let session = Arc::clone(&self.session);
        let Self {
            consumer, committer, ..
        } = self;
        committer.stop();
        drop(consumer);
        session.give_up();
        session.orders.refuse();
        let _ = done.send(());
    }
}

/// What groups lost because messages are gone.
pub(crate) fn report_gone(client: &Client, session: &Session) {
    let gone: u64 = {
        let mut state = session.state();
        state
            .partitions
            .values_mut()
            .map(|partition| std::mem::take(&mut partition.gone))
            .sum()
    };
    if gone > 0 {
        client.lost.fetch_add(gone, Ordering::Relaxed);
        client.context.events.send(BrokerEvent::MessagesLost {
            stream: session.stream.clone(),
            group: session.group.clone(),
            count: gone,
        });
    }
}

/// The intake that poller and rebalancer share: what was polled comes in before partitions change.
pub(crate) type SharedIntake = Mutex<Intake>;
