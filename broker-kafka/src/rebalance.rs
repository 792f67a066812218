//! What happens when partitions come and go, and what is committed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::client::{Client, lock, tell};
use crate::intake::Intake;
use crate::offsets;
use crate::partition::Partition;
use crate::poller::{GroupConsumer, SharedIntake, report_gone};
use crate::session::{Session, next_epoch};

/// The context of a group's consumer; the library calls it on the poller's thread.
pub(crate) struct Rebalancer {
    client: Weak<Client>,
    session: Arc<Session>,
    pub(crate) intake: SharedIntake,
    commits: Mutex<()>,
    going: Mutex<Option<Leaving>>,
    leaving: AtomicBool,
    /// Whether what is known here may be less than what is committed: then nothing is committed any more.
    doubtful: AtomicBool,
    /// Whether polling served something that was no message: the answer looks as if nothing was there.
    served: AtomicBool,
    revocation_wait: Duration,
    patience: Duration,
}

impl Rebalancer {
    pub(crate) fn new(client: &Arc<Client>, session: &Arc<Session>) -> Self {
        Self {
            client: Arc::downgrade(client),
            session: Arc::clone(session),
            intake: Mutex::new(Intake::new(session.group.as_str(), session.places.retry.as_ref())),
            commits: Mutex::default(),
            going: Mutex::default(),
            leaving: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            served: AtomicBool::new(false),
            revocation_wait: client.config.revocation_wait,
            patience: client.patience(),
        }
    }

    pub(crate) fn client(&self) -> Option<Arc<Client>> {
        self.client.upgrade()
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Hands what was polled to the session.
    pub(crate) fn flush(&self) {
        let mut intake = lock(&self.intake);
        if intake.len() == 0 {
            return;
        }
        self.session.arrive(intake.take());
        drop(intake);
        if let Some(client) = self.client.upgrade() {
            report_gone(&client, &self.session);
        }
    }

    /// Whether polling served something since the last time this was asked.
    pub(crate) fn has_served(&self) -> bool {
        self.served.swap(false, Ordering::Relaxed)
    }

    /// Nothing is waited for any more.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// The turn to commit; whoever has it is alone.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.commits)
    }

    /// Leaves the group, to enter it anew with what the server has. The caller has the turn to commit.
    pub(crate) fn forget(&self) {
        self.doubtful.store(true, Ordering::Release);
        self.session.end();
        self.session.wake();
    }

    /// Commits what changed, and waits for the answer. Commits go one at a time: an older one must not come behind a newer.
    pub(crate) fn commit(&self, consumer: &GroupConsumer) -> KafkaResult<()> {
        let _turn = self.turn();
        let list = self.changes();
        if list.count() == 0 {
            return Ok(());
        }
        let answer = consumer.commit(&list, CommitMode::Sync);
        self.commit_ends(answer.clone(), &list);
        answer
    }

    /// What is to be committed. It counts as committed from now on, until the answer says otherwise.
    fn changes(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        if self.doubtful.load(Ordering::Acquire) {
            return list;
        }
        let mut state = self.session.state();
        for partition in state.partitions.values_mut().filter(|partition| partition.dirty) {
            partition.dirty = false;
            let progress = partition.progress();
            if partition.committed.as_ref() == Some(&progress) {
                continue;
            }
            let added = self
                .session
                .places
                .add_with(&mut list, partition.number, progress.0, &progress.1);
            if added.is_ok() {
                partition.sent.push(progress.0, &progress.1);
                partition.committed = Some(progress);
            }
        }
        if list.count() > 0 {
            state.uncommitted.get_or_insert_with(Instant::now);
        }
        list
    }

    /// A commit was answered. What failed is committed anew with the next one.
    fn commit_ends(&self, answer: KafkaResult<()>, list: &TopicPartitionList) {
        let failed_all = answer.is_err();
        if let Err(error) = &answer {
            tracing::debug!(%error, stream = %self.session.stream, group = %self.session.group, "a commit failed");
        }
        let mut state = self.session.state();
        let mut complete = true;
        for element in list.elements() {
            let number = self.session.places.number(element.topic(), element.partition());
            let Some(partition) = number.and_then(|number| state.partitions.get_mut(&number)) else {
                continue;
            };
            if !failed_all && element.error().is_ok() {
                partition.sent.confirm();
            } else {
                complete = false;
                partition.dirty = true;
                partition.committed = None;
            }
        }
        if complete {
            state.uncommitted = None;
        }
        drop(state);
        self.session.committed.notify_waiters();
    }

    /// Whether the broker was closed: whoever closes it must not wait for a server that is away.
    fn is_closing(&self) -> bool {
        self.client
            .upgrade()
            .is_none_or(|client| client.check_open().is_err())
    }

    /// Partitions are given to this member: it goes on where the last commit says.
    fn assign(&self, consumer: &GroupConsumer, list: &TopicPartitionList) {
        if self.leaving.load(Ordering::Acquire) {
            // They came while the group was left. A consumer that ends is not told positions: asking would block.
            return give_up(consumer, list);
        }
        let places = &self.session.places;
        let numbers = places.with_retry(places.numbers_of(list));
        let committed = loop {
            match offsets::committed(consumer, places, &numbers, self.patience) {
                Ok(committed) => break committed,
                // Beginning anywhere else would lose messages or repeat them.
                Err(error) if consumer.assignment_lost() || self.is_closing() => {
                    tracing::debug!(%error, "partitions are given up before their position is known");
                    return give_up(consumer, list);
                }
                Err(error) => {
                    tracing::warn!(%error, "the position of partitions is not known yet");
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        let mut starts = TopicPartitionList::new();
        {
            let mut state = self.session.state();
            for found in committed {
                let resumed = state.resume(&found);
                let start = resumed.as_ref().map_or(found.start, |(start, ..)| *start);
                let progress = resumed.as_ref().map(|(_, known, _)| known);
                let progress = progress.or(found.progress.as_ref());
                let mut partition = Partition::new(found.number, next_epoch(), start, progress);
                if let Some((.., window)) = &resumed {
                    partition.window.failed_before(window);
                }
                if found.exists {
                    // Until the first commit from here is answered, this is what the server holds.
                    partition.sent.push(found.start, &found.text);
                }
                let _ = places.add(&mut starts, found.number, start);
                state.partitions.insert(found.number, partition);
            }
            state.assigned = true;
            state.trouble = None;
        }
        let told = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&starts),
            _ => consumer.assign(&starts),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "partitions were not taken");
        }
        self.session.arrived.notify_waiters();
        tracing::debug!(stream = %self.session.stream, group = %self.session.group, ?numbers, "partitions came");
    }

    /// Partitions are taken away: what is in hand has a while to be settled, during which everything else goes on.
    fn revoke(&self, consumer: &GroupConsumer, list: &TopicPartitionList) {
        let places = &self.session.places;
        let numbers = places.with_retry(places.numbers_of(list));
        {
            let mut state = self.session.state();
            for number in &numbers {
                if let Some(partition) = state.partitions.get_mut(number) {
                    partition.leaving = true;
                }
            }
        }
        let leaving = Leaving {
            list: places.list(numbers.iter().copied()),
            numbers,
            until: Instant::now() + self.revocation_wait,
        };
        if let Some(before) = lock(&self.going).replace(leaving) {
            self.let_go(consumer, &before);
        }
        if self.leaving.load(Ordering::Acquire) {
            self.finish_revocation(consumer, true);
        }
    }

    /// Lets partitions go that were taken away, if nothing of them is in hand any more, or their time is up. Answers
    /// when to look again.
    pub(crate) fn finish_revocation(&self, consumer: &GroupConsumer, now: bool) -> Option<Instant> {
        let mut going = lock(&self.going);
        let until = going.as_ref()?.until;
        let in_hand = {
            let state = self.session.state();
            let mut leaving = state.partitions.values().filter(|partition| partition.leaving);
            leaving.any(Partition::is_in_hand)
        };
        if in_hand && !now && Instant::now() < until && !consumer.assignment_lost() {
            return Some(until);
        }
        let leaving = going.take()?;
        drop(going);
        self.let_go(consumer, &leaving);
        None
    }

    /// Commits all that is known of partitions, and gives them up.
    fn let_go(&self, consumer: &GroupConsumer, leaving: &Leaving) {
        let _turn = self.turn();
        let lost = consumer.assignment_lost() || self.doubtful.load(Ordering::Acquire);
        let mut last = TopicPartitionList::new();
        {
            let mut state = self.session.state();
            for number in &leaving.numbers {
                let Some((start, text, committed)) = state.let_go(*number) else {
                    continue;
                };
                if !committed {
                    let _ = self.session.places.add_with(&mut last, *number, start, &text);
                }
            }
        }
        if !lost && last.count() > 0 {
            match consumer.commit(&last, CommitMode::Sync) {
                Ok(()) => self.session.state().wrote(&leaving.numbers),
                Err(error) => {
                    tracing::debug!(%error, "the last commit of partitions failed: what it told comes again");
                }
            }
        }
        self.session.let_wait_end();
        give_up(consumer, &leaving.list);
        tracing::debug!(stream = %self.session.stream, group = %self.session.group, numbers = ?leaving.numbers, lost, "partitions went");
    }
}

/// Partitions that were taken away and are not yet let go.
struct Leaving {
    list: TopicPartitionList,
    numbers: Vec<u32>,
    until: Instant,
}

fn give_up(consumer: &GroupConsumer, list: &TopicPartitionList) {
    let told = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "partitions were not given up");
    }
}

impl ClientContext for Rebalancer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.served.store(true, Ordering::Relaxed);
        tell(level, facility, message);
    }

    fn stats_raw(&self, text: &[u8]) {
        self.served.store(true, Ordering::Relaxed);
        if let Some(client) = self.client.upgrade() {
            client.statistics.take(&self.session.name(), text);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.session.end();
        }
    }
}

impl ConsumerContext for Rebalancer {
    fn rebalance(&self, consumer: &GroupConsumer, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.served.store(true, Ordering::Relaxed);
        // What was polled so far belongs to the partitions as they were.
        self.flush();
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }
}
