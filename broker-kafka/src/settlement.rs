//! The end of a transaction: what it settles is committed with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::{Error, ErrorKind, ReceiptRun, Result, Settled};
use broker_window::{Purpose, Tag, Who};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use crate::poller::GroupConsumer;
use crate::producer::Producer;
use crate::progress::Progress;
use crate::session::Session;
use crate::transactor::{Failure, left};

/// How much longer than the transaction may take its deliveries stay in hand.
const LONGER: Duration = Duration::from_secs(60);

/// The deliveries of one group that a transaction settles.
pub(crate) struct Claim {
    pub(crate) session: Arc<Session>,
    /// By whom.
    pub(crate) parts: Vec<(Who, Vec<ReceiptRun>)>,
}

/// All that a transaction settles.
pub(crate) struct Settlement {
    claims: Vec<(Claim, Option<Arc<GroupConsumer>>)>,
}

/// What a group's commit within the transaction says.
struct Foreseen {
    list: TopicPartitionList,
    progress: Vec<(u32, (u64, String))>,
    /// What becomes settled, each delivery once.
    settled: Vec<(Who, Vec<ReceiptRun>)>,
}

impl Settlement {
    pub(crate) fn new(mut claims: Vec<Claim>) -> Self {
        // Two transactions that settle for the same groups take their turns in one order.
        claims.sort_by_key(|claim| Arc::as_ptr(&claim.session).addr());
        let claims = claims.into_iter().map(|claim| {
            let consumer = claim.session.consumer();
            (claim, consumer)
        });
        Self {
            claims: claims.collect(),
        }
    }

    /// Commits positions with what `producer` has published, and settles. Blocks.
    ///
    /// No other commit of these groups may come in between: what is written last counts, and that would be it.
    pub(crate) fn commit(&self, producer: &Producer, deadline: Instant) -> std::result::Result<(), Failure> {
        let mut contexts = Vec::with_capacity(self.claims.len());
        for (claim, consumer) in &self.claims {
            let consumer = consumer
                .as_ref()
                .ok_or_else(|| Failure::Certain(stale(Settled::Stale)))?;
            contexts.push((claim, consumer, Arc::clone(consumer.context())));
        }
        let _turns: Vec<_> = contexts.iter().map(|(.., context)| context.turn()).collect();
        let mut all = Vec::with_capacity(contexts.len());
        for (claim, consumer, _) in &contexts {
            let foreseen = claim.foresee(left(deadline)).map_err(Failure::Certain)?;
            let Some(members) = consumer.group_metadata() else {
                return Err(Failure::Certain(stale(Settled::Stale)));
            };
            producer
                .send_offsets(&foreseen.list, &members, left(deadline))
                .map_err(|failed| Failure::certain(&failed))?;
            all.push(foreseen);
        }
        if let Err(failure) = commit(producer, deadline) {
            if let Failure::Doubtful(_) = failure {
                // What the server has tells, once it is certain.
                for (.., context) in &contexts {
                    context.forget();
                }
            }
            return Err(failure);
        }
        for ((claim, _, context), foreseen) in contexts.iter().zip(all) {
            if !claim.settle(foreseen) {
                // Something was handed out again meanwhile, which is done: it must not be handed out any more.
                context.forget();
            }
        }
        Ok(())
    }
}

/// Commits the transaction; tries again as long as it may.
fn commit(producer: &Producer, deadline: Instant) -> std::result::Result<(), Failure> {
    loop {
        let failed = match producer.commit_transaction(left(deadline).max(Duration::from_millis(100))) {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        let KafkaError::Transaction(reason) = &failed else {
            // It was not asked for yet.
            return Err(Failure::certain(&failed));
        };
        if reason.txn_requires_abort() {
            return Err(Failure::certain(&failed));
        }
        if !reason.is_retriable() || left(deadline).is_zero() {
            return Err(Failure::doubtful(&failed));
        }
    }
}

impl Claim {
    /// What a commit says by which all of it is settled; until then it stays in hand.
    fn foresee(&self, within: Duration) -> Result<Foreseen> {
        let session = &self.session;
        let mut state = session.state();
        let now = session.now();
        let until = now.after(within + LONGER);
        let mut done: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        let mut settled = Vec::new();
        for (who, runs) in &self.parts {
            let mut once = Vec::with_capacity(runs.len());
            for run in runs {
                let partition = state
                    .partitions
                    .get_mut(&run.first.partition)
                    .filter(|partition| partition.epoch == Tag::epoch(&run.first))
                    .ok_or_else(|| stale(Settled::Stale))?;
                let offsets = done.entry(run.first.partition).or_default();
                let before = offsets.len();
                let mut new = Vec::new();
                for receipt in run.iter() {
                    let tag = partition.kept.tag(&receipt);
                    let checked = partition.window.check(receipt.sequence, tag, *who, now);
                    checked.map_err(stale)?;
                    if offsets.insert(receipt.sequence) {
                        partition
                            .window
                            .settle(receipt.sequence, Purpose::Extend(until), now);
                        new.push(ReceiptRun::from(receipt));
                    }
                }
                // What was added to the transaction twice is settled once.
                if offsets.len() - before == run.len as usize {
                    once.push(*run);
                } else {
                    once.extend(new);
                }
            }
            settled.push((*who, once));
        }
        let mut list = TopicPartitionList::new();
        let mut progress = Vec::with_capacity(done.len());
        for (number, offsets) in done {
            let Some(partition) = state.partitions.get(&number) else {
                continue;
            };
            let (start, known) = Progress::once_done(&partition.window, partition.generation, &offsets);
            let text = known.to_text();
            session.places.add_with(&mut list, number, start, &text)?;
            progress.push((number, (start, text)));
        }
        Ok(Foreseen {
            list,
            progress,
            settled,
        })
    }

    /// Does what was foreseen; answers whether all of it was still to be done.
    fn settle(&self, foreseen: Foreseen) -> bool {
        {
            let mut state = self.session.state();
            for (number, progress) in foreseen.progress {
                if let Some(partition) = state.partitions.get_mut(&number) {
                    partition.sent.push(progress.0, &progress.1);
                    partition.sent.confirm();
                    partition.committed = Some(progress);
                    partition.dirty = true;
                }
            }
        }
        let mut complete = true;
        for (who, runs) in foreseen.settled {
            complete &= self.session.settle(&runs, who, Purpose::Done).is_complete();
        }
        complete
    }
}

fn stale(why: Settled) -> Error {
    let why = match why {
        Settled::AlreadySettled => "was settled before",
        Settled::NotOwner => "belongs to another consumer",
        Settled::NotPending => "is not in hand",
        _ => "was taken away",
    };
    Error::new(
        ErrorKind::Stale,
        format!("a delivery of the transaction {why}; nothing of it was done"),
    )
}
