//! A group's progress beside a naive model of it, over random histories.

// What is checked here needs no scheduler of its own.
#![cfg(not(feature = "shuttle"))]
#![allow(clippy::cast_possible_truncation, reason = "histories are short")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_core::base::Deliveries;
use broker_core::{Message, Receipt, ReceiptRun, Settled};
use proptest::prelude::*;

use crate::answers::Answers;
use crate::clock::{Moment, Stamp};
use crate::cursor::Feed;
use crate::log::{Log, SegmentLimits};
use crate::progress::{Progress, Reading};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::window::{Purpose, Who};

const LIMIT: usize = 20;
const LEASE: u64 = 10;
const MEMBERS: u32 = 3;

#[derive(Clone, Debug)]
enum Op {
    /// Publishes messages with these keys, where there are any.
    Publish(Vec<Option<u8>>),
    Read {
        member: u32,
        max: u64,
        sequential: bool,
    },
    /// Settles what was the n-th delivery, counted from the newest, as this member.
    Settle {
        nth: usize,
        len: u32,
        member: u32,
        how: How,
    },
    Pass(u64),
    Release(u32),
    SkipTo(u64),
    Restart(u64),
}

#[derive(Clone, Copy, Debug)]
enum How {
    Ack,
    Requeue(u64),
    GiveBack,
    Extend(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Unseen,
    Parked,
    Out { who: u32, deadline: u64 },
    Nacked { due: u64 },
    Expired,
    Returned,
    Done,
}

#[derive(Debug)]
struct Entry {
    key: Option<u8>,
    state: State,
    attempt: u32,
    turn: u32,
}

/// One delivery as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Given {
    generation: u32,
    offset: u64,
    attempt: u32,
    turn: u32,
    who: u32,
    receipt: Receipt,
}

/// All that a group knows, in the plainest form.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<Entry>,
    next: u64,
    low: u64,
    generation: u32,
}

impl Model {
    fn at(&mut self, offset: u64) -> &mut Entry {
        &mut self.entries[offset as usize]
    }

    fn is_first(&self, offset: u64) -> bool {
        let Some(key) = self.entries[offset as usize].key else {
            return true;
        };
        let before = &self.entries[self.low as usize..offset as usize];
        !before
            .iter()
            .any(|entry| entry.key == Some(key) && entry.state != State::Done)
    }

    fn read(&mut self, now: u64, who: u32, max: u64, sequential: bool) -> Vec<(u64, u32)> {
        let mut out = Vec::new();
        let deadline = now + LEASE;
        for offset in self.low..self.next {
            if let State::Out { deadline, .. } = self.at(offset).state
                && deadline <= now
            {
                self.at(offset).state = State::Expired;
            }
        }
        for offset in self.low..self.next {
            let first = self.is_first(offset);
            let entry = self.at(offset);
            let ready = match entry.state {
                State::Nacked { due } => due <= now && (first || !sequential),
                State::Expired | State::Returned => first || !sequential,
                State::Parked => first,
                _ => false,
            };
            if ready && (out.len() as u64) < max {
                if entry.state == State::Returned {
                    entry.turn += 1;
                } else {
                    (entry.attempt, entry.turn) = (entry.attempt + 1, 0);
                }
                entry.state = State::Out { who, deadline };
                out.push((offset, entry.attempt));
            }
        }
        while (out.len() as u64) < max
            && self.next < self.entries.len() as u64
            && self.next - self.low < LIMIT as u64
        {
            let offset = self.next;
            let free = self.is_first(offset);
            self.next += 1;
            let entry = self.at(offset);
            if sequential && !free {
                entry.state = State::Parked;
            } else {
                (entry.state, entry.attempt) = (State::Out { who, deadline }, 1);
                out.push((offset, 1));
            }
        }
        out
    }

    fn settle(&mut self, now: u64, given: &Given, who: u32, how: How) -> Settled {
        if given.generation != self.generation {
            return Settled::Stale;
        }
        if given.offset < self.low {
            return Settled::AlreadySettled;
        }
        let entry = self.at(given.offset);
        let current = (entry.attempt, entry.turn) == (given.attempt, given.turn);
        match entry.state {
            State::Done => return Settled::AlreadySettled,
            _ if !current => return Settled::Stale,
            State::Nacked { .. } | State::Returned => return Settled::AlreadySettled,
            State::Out { deadline, .. } if deadline <= now => return Settled::Stale,
            State::Out { who: holder, .. } if holder != who => return Settled::NotOwner,
            State::Out { .. } => {}
            State::Expired | State::Parked | State::Unseen => return Settled::Stale,
        }
        let usual = match how {
            How::Ack => {
                entry.state = State::Done;
                Settled::Acked
            }
            How::Requeue(delay) => {
                entry.state = State::Nacked { due: now + delay };
                Settled::Nacked
            }
            How::GiveBack => {
                entry.state = State::Returned;
                Settled::Nacked
            }
            How::Extend(by) => {
                if let State::Out { deadline, .. } = &mut entry.state {
                    *deadline = (*deadline).max(now + by);
                }
                Settled::Acked
            }
        };
        self.advance();
        usual
    }

    fn release(&mut self, member: u32) -> u64 {
        let mut released = 0;
        for offset in self.low..self.next {
            if matches!(self.at(offset).state, State::Out { who, .. } if who == member) {
                self.at(offset).state = State::Expired;
                released += 1;
            }
        }
        released
    }

    fn skip_to(&mut self, head: u64) -> Vec<u64> {
        let lost = (self.low..head)
            .filter(|offset| self.entries[*offset as usize].state != State::Done)
            .collect();
        for offset in self.low..head {
            self.at(offset).state = State::Done;
        }
        self.next = self.next.max(head);
        self.advance();
        lost
    }

    fn restart(&mut self, offset: u64) {
        for entry in &mut self.entries[offset as usize..] {
            (entry.state, entry.attempt, entry.turn) = (State::Unseen, 0, 0);
        }
        (self.low, self.next) = (offset, offset);
        self.generation += 1;
    }

    fn advance(&mut self) {
        while self.low < self.next && self.at(self.low).state == State::Done {
            self.low += 1;
        }
    }

    fn count(&self, which: impl Fn(State) -> bool) -> u64 {
        let window = &self.entries[self.low as usize..self.next as usize];
        window.iter().filter(|entry| which(entry.state)).count() as u64
    }
}

/// The progress under test, with a log to read from.
struct Subject {
    log: Log,
    tail: AtomicU64,
    progress: Progress,
}

impl Subject {
    fn new() -> Self {
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

    fn publish(&mut self, keys: &[Option<u8>]) {
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

    fn read(&self, now: u64, member: u32, max: u64, sequential: bool) -> Vec<Receipt> {
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
            tail: &self.tail,
            find: &find,
        };
        self.progress.read(&feed, &reading, max, &mut out).unwrap();
        let lots = out.lots().iter();
        lots.flat_map(|lot| (0..lot.len()).map(|index| lot.receipt(index).unwrap()))
            .collect()
    }

    fn settle(&self, now: u64, run: ReceiptRun, member: u32, how: How) -> Vec<Settled> {
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

fn op() -> impl Strategy<Value = Op> {
    let key = prop_oneof![1 => Just(None), 2 => (0_u8..4).prop_map(Some)];
    let how = prop_oneof![
        6 => Just(How::Ack),
        2 => (0_u64..20).prop_map(How::Requeue),
        1 => Just(How::GiveBack),
        1 => (0_u64..30).prop_map(How::Extend),
    ];
    prop_oneof![
        4 => prop::collection::vec(key, 1..50).prop_map(Op::Publish),
        8 => (0..MEMBERS, 0_u64..12, prop::bool::weighted(0.3))
            .prop_map(|(member, max, sequential)| Op::Read { member, max, sequential }),
        12 => (0_usize..30, 1_u32..8, 0..MEMBERS, how)
            .prop_map(|(nth, len, member, how)| Op::Settle { nth, len, member, how }),
        3 => (1_u64..15).prop_map(Op::Pass),
        1 => (0..MEMBERS).prop_map(Op::Release),
        1 => (0_u64..30).prop_map(Op::SkipTo),
        1 => (0_u64..60).prop_map(Op::Restart),
    ]
}

fn run(ops: Vec<Op>) -> Result<(), TestCaseError> {
    let (mut subject, mut model) = (Subject::new(), Model::default());
    let mut given: Vec<Given> = Vec::new();
    let mut now = 0;
    for op in ops {
        match &op {
            Op::Publish(keys) => {
                subject.publish(keys);
                let state = State::Unseen;
                let entry = |key: &Option<u8>| Entry {
                    key: *key,
                    state,
                    attempt: 0,
                    turn: 0,
                };
                model.entries.extend(keys.iter().map(entry));
            }
            Op::Read {
                member,
                max,
                sequential,
            } => {
                let receipts = subject.read(now, *member, *max, *sequential);
                let read: Vec<_> = receipts
                    .iter()
                    .map(|receipt| (receipt.sequence, receipt.attempt))
                    .collect();
                prop_assert_eq!(&read, &model.read(now, *member, *max, *sequential), "{:?}", op);
                for receipt in receipts {
                    given.push(Given {
                        generation: model.generation,
                        offset: receipt.sequence,
                        attempt: receipt.attempt,
                        turn: model.at(receipt.sequence).turn,
                        who: *member,
                        receipt,
                    });
                }
            }
            Op::Settle {
                nth,
                len,
                member,
                how,
            } => {
                let Some(start) = given.len().checked_sub(nth + 1) else {
                    continue;
                };
                // Neighbours settle together where their receipts follow on one another.
                let mut run = ReceiptRun::from(given[start].receipt);
                let more = given[start + 1..].iter().take(*len as usize - 1);
                let joined = more.take_while(|given| run.extend(given.receipt)).count();
                let member = if *nth % 5 == 0 { *member } else { given[start].who };
                let expected: Vec<_> = given[start..=start + joined]
                    .iter()
                    .map(|given| model.settle(now, given, member, *how))
                    .collect();
                prop_assert_eq!(subject.settle(now, run, member, *how), expected, "{:?}", op);
            }
            Op::Pass(steps) => now += steps,
            Op::Release(member) => {
                let who = Who::member(*member).unwrap();
                let released = subject.progress.lock().window.release(who);
                prop_assert_eq!(released, model.release(*member));
            }
            Op::SkipTo(ahead) => {
                let head = (model.low + ahead).min(model.entries.len() as u64);
                prop_assert_eq!(subject.progress.skip_to(head).offsets, model.skip_to(head));
            }
            Op::Restart(offset) => {
                let offset = (*offset).min(model.entries.len() as u64);
                subject.progress.lock().restart(offset);
                model.restart(offset);
            }
        }
        let inner = subject.progress.lock();
        prop_assert_eq!(
            (inner.window.low(), inner.window.next()),
            (model.low, model.next),
            "{:?}",
            op
        );
        let parked = model.count(|state| state == State::Parked);
        let pending = model.count(|state| !matches!(state, State::Parked | State::Done));
        prop_assert_eq!(
            (inner.window.pending(), inner.window.parked()),
            (pending, parked),
            "{:?}",
            op
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_history_goes_as_in_the_naive_model(ops in prop::collection::vec(op(), 1..120)) {
        run(ops)?;
    }
}
