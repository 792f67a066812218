//! A window and its commits beside a naive model.

use std::collections::BTreeMap;
use std::time::SystemTime;

use broker_core::Settled;
use broker_window::{Moment, Purpose, Tag, Who};
use proptest::prelude::*;

use super::{Arrival, Inheritance};
use crate::progress::{Progress, REPEATS, may_repeat};

#[derive(Clone, Debug)]
enum Step {
    /// Hands out so many new ones, after so many offsets that hold no message.
    New(u64, u64),
    Again,
    Ack(usize),
    Nack(usize),
    GiveBack(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u64..200, 0_u64..3).prop_map(|(count, gap)| Step::New(count, gap)),
        Just(Step::Again),
        Just(Step::Again),
        any::<usize>().prop_map(Step::Ack),
        any::<usize>().prop_map(Step::Ack),
        any::<usize>().prop_map(Step::Nack),
        any::<usize>().prop_map(Step::GiveBack),
        Just(Step::Restart),
    ]
}

const NOW: Moment = Moment(1);
const FAR: Moment = Moment(1_000_000);

/// What is known of each unsettled message: how often it was delivered, and its receipt while it is out.
#[derive(Default)]
struct Model {
    unsettled: BTreeMap<u64, (u32, Option<Tag>)>,
    next: u64,
}

impl Model {
    fn pick(&self, choice: usize) -> Option<(u64, Tag)> {
        let out: Vec<_> = self
            .unsettled
            .iter()
            .filter_map(|(offset, (_, tag))| tag.map(|tag| (*offset, tag)))
            .collect();
        out.get(choice.checked_rem(out.len())?).copied()
    }
}

proptest! {
    #[test]
    fn nothing_unsettled_is_ever_committed_and_attempts_survive_restarts(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let who = Who::member(0).unwrap();
        let (_, mut window) = Inheritance::open(0, None);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::New(count, gap) => {
                    let first = model.next + gap;
                    if first + count <= window.end() {
                        window.pass_to(first);
                        let tag = window.hand_out(count, who, NOW, FAR);
                        for offset in first..first + count {
                            model.unsettled.insert(offset, (1, Some(tag)));
                        }
                        model.next = first + count;
                    }
                }
                Step::Again => {
                    let mut from = 0;
                    while let Some(offset) = window.first_ready(from, false) {
                        from = offset + 1;
                        if !may_repeat(&window, offset) {
                            continue;
                        }
                        let tag = window.hand_out_again(offset, who, FAR).unwrap();
                        let (delivered, out) = model.unsettled.get_mut(&offset).unwrap();
                        prop_assert!(out.is_none());
                        *delivered += 1;
                        prop_assert_eq!(tag.attempt(), *delivered);
                        *out = Some(tag);
                    }
                }
                Step::Ack(choice) => if let Some((offset, tag)) = model.pick(choice) {
                    prop_assert_eq!(window.check(offset, tag, who, NOW), Ok(()));
                    if !window.settle_run(offset, 1, tag, who, NOW) {
                        window.settle(offset, Purpose::Done, NOW);
                    }
                    prop_assert_eq!(window.check(offset, tag, who, NOW), Err(Settled::AlreadySettled));
                    model.unsettled.remove(&offset);
                },
                Step::Nack(choice) => if let Some((offset, tag)) = model.pick(choice) {
                    window.settle(offset, Purpose::Requeue(NOW, SystemTime::UNIX_EPOCH), NOW);
                    prop_assert_eq!(window.check(offset, tag, who, NOW), Err(Settled::AlreadySettled));
                    model.unsettled.get_mut(&offset).unwrap().1 = None;
                },
                Step::GiveBack(choice) => if let Some((offset, _)) = model.pick(choice) {
                    window.settle(offset, Purpose::GiveBack, NOW);
                    let entry = model.unsettled.get_mut(&offset).unwrap();
                    *entry = (entry.0 - 1, None);
                },
                Step::Restart => {
                    let text = Progress::of(&window, 7).to_text();
                    prop_assert!(text.len() <= 4096);
                    let progress = Progress::from_text(&text).unwrap();
                    prop_assert_eq!(progress.unsettled(), model.unsettled.len() as u64);
                    let low = window.low();
                    let (mut inheritance, again) = Inheritance::open(low, Some(&progress));
                    window = again;
                    for offset in low..model.next {
                        let (arrival, gone) = inheritance.arrive(&mut window, offset);
                        prop_assert_eq!(gone, 0);
                        let entry = model.unsettled.get_mut(&offset);
                        prop_assert_eq!(arrival == Arrival::Again, entry.is_some());
                        if let Some(entry) = entry {
                            entry.1 = None;
                        }
                    }
                }
            }
            let oldest = model.unsettled.keys().next().copied();
            prop_assert!(window.low() <= oldest.unwrap_or(u64::MAX));
            prop_assert_eq!(window.pending(), model.unsettled.len() as u64);
            let repeats = window.unsettled().filter(|(_, slot)| slot.tag.attempt() > 1).count();
            prop_assert_eq!(repeats as u64, window.repeats());
            prop_assert!(window.repeats() <= REPEATS);
        }
    }
}

#[test]
fn what_an_earlier_owner_had_and_is_gone_is_counted_and_wedges_nothing() {
    let mut progress = Progress::default();
    progress.push(3, Some(1));
    progress.push(1, None);
    progress.push(2, Some(2));
    let (mut inheritance, mut window) = Inheritance::open(10, Some(&progress));
    assert_eq!(inheritance.arrive(&mut window, 12), (Arrival::Again, 2));
    assert_eq!(window.low(), 12);
    assert_eq!(inheritance.arrive(&mut window, 20), (Arrival::New, 2));
    assert_eq!(window.pending(), 1);
}
