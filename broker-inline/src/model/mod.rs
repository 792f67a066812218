//! A group's progress beside a naive model of it, over random histories.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "histories are short, and a test stops at the first surprise"
)]

mod naive;
mod subject;

use broker_core::ReceiptRun;
use broker_window::Who;
use proptest::prelude::*;

use self::naive::{Given, Naive, State};
use self::subject::Subject;

/// The longest window.
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
    let (mut subject, mut model) = (Subject::new(), Naive::default());
    let mut given: Vec<Given> = Vec::new();
    let mut now = 0;
    for op in ops {
        match &op {
            Op::Publish(keys) => {
                subject.publish(keys);
                model.publish(keys);
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
                prop_assert_eq!(subject.progress.lose_before(head), model.skip_to(head));
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
