//! The real thing, with a log to read from.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_core::base::Deliveries;
use broker_core::{Message, Receipt, ReceiptRun, Settled};
use broker_window::{Moment, Purpose, Who};

use super::{How, LEASE, LIMIT};
use crate::answers::Answers;
use crate::clock::Stamp;
use crate::group::{Progress, Reading};
use crate::log::{Feed, Log, Segment, SegmentLimits};
use crate::sync::{AtomicU64, Ordering};

/// The progress under test, with a log to read from.
pub(super) struct Subject {
    pub(super) log: Log,
    pub(super) tail: AtomicU64,
    pub(super) progress: Progress,
}

impl Subject {
    pub(super) fn new() -> Self {
        let limits = SegmentLimits {
            messages: 64,
            bytes: 1 << 20,
            small: 0,
        };
        Self {
            log: Log::new(0, limits),
            tail: AtomicU64::new(0),
            progress: Progress::new(0, LIMIT),
        }
    }

    pub(super) fn publish(&mut self, keys: &[Option<u8>]) {
        let messages: Vec<_> = keys
            .iter()
            .map(|key| match key {
                Some(key) => Message::text("x").key(vec![*key]),
                None => Message::text("x"),
            })
            .collect();
        self.log.append(messages, keys.len() * 2, Stamp::now());
        self.tail.store(self.log.tail(), Ordering::Release);
    }

    pub(super) fn read(&self, now: u64, member: u32, max: u64, sequential: bool) -> Vec<Receipt> {
        let reading = Reading {
            group: 1,
            who: Who::member(member).unwrap(),
            now: moment(now),
            deadline: moment(now + LEASE),
            sequential,
            settles: true,
        };
        let mut out = Deliveries::new();
        let find = |offset: u64| -> Option<Arc<Segment>> { self.log.find(offset) };
        let feed = Feed {
            partition: 0,
            newest: &self.tail,
            settled: &self.tail,
            find: &find,
        };
        self.progress.read(&feed, &reading, max, &mut out).unwrap();
        let lots = out.lots().iter();
        lots.flat_map(|lot| (0..lot.len()).map(|index| lot.receipt(index).unwrap()))
            .collect()
    }

    pub(super) fn settle(&self, now: u64, run: ReceiptRun, member: u32, how: How) -> Vec<Settled> {
        let (purpose, usual) = match how {
            How::Ack => (Purpose::Done, Settled::Acked),
            How::Requeue(delay) => (
                Purpose::Requeue(moment(now + delay), SystemTime::now()),
                Settled::Nacked,
            ),
            How::GiveBack => (Purpose::GiveBack, Settled::Nacked),
            How::Extend(by) => (Purpose::Extend(moment(now + by)), Settled::Acked),
        };
        let mut answers = Answers::new(usual);
        let who = Who::member(member).unwrap();
        self.progress.settle(run, who, purpose, moment(now), &mut answers);
        answers.finish().iter().collect()
    }
}

/// Steps are milliseconds: far more than what a look at all leases is put off by.
fn moment(step: u64) -> Moment {
    Moment(0).after(Duration::from_millis(step))
}
