//! The window beside a naive model of it, and laws that one history shows.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use broker_core::Settled;
use bytes::Bytes;
use proptest::prelude::*;

use super::{Moment, Purpose, Tag, Who, Window};

const NOW: Moment = Moment(1);
const FAR: Moment = Moment(1_000_000);

#[derive(Clone, Debug)]
enum Step {
    /// Hands out so many new ones, after so many offsets that hold no message.
    New(u64, u64),
    /// Takes over so many that a former member had.
    Inherit(u64, u32),
    Again,
    Ack(usize, usize),
    AckOldest,
    Nack(usize),
    GiveBack(usize),
    Release,
    Lose(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u64..200, 0_u64..3).prop_map(|(count, gap)| Step::New(count, gap)),
        (1_u64..9, 0_u32..4).prop_map(|(count, delivered)| Step::Inherit(count, delivered)),
        Just(Step::Again),
        Just(Step::Again),
        (any::<usize>(), 1_usize..50).prop_map(|(choice, count)| Step::Ack(choice, count)),
        (any::<usize>(), 1_usize..50).prop_map(|(choice, count)| Step::Ack(choice, count)),
        Just(Step::AckOldest),
        any::<usize>().prop_map(Step::Nack),
        any::<usize>().prop_map(Step::GiveBack),
        Just(Step::Release),
        (0_u64..20).prop_map(Step::Lose),
    ]
}

/// What is known of each unsettled message: how often it was delivered, and its delivery while it is out.
#[derive(Default)]
struct Model {
    unsettled: BTreeMap<u64, (u32, Option<Tag>)>,
}

impl Model {
    fn pick(&self, choice: usize) -> Option<(u64, Tag)> {
        let out: Vec<_> = self.out().collect();
        out.get(choice.checked_rem(out.len())?).copied()
    }

    fn out(&self) -> impl Iterator<Item = (u64, Tag)> {
        let unsettled = self.unsettled.iter();
        unsettled.filter_map(|(offset, (_, tag))| tag.map(|tag| (*offset, tag)))
    }
}

proptest! {
    #[test]
    fn nothing_unsettled_is_passed_and_attempts_count_on(steps in proptest::collection::vec(step(), 1..120)) {
        let who = Who::member(0).unwrap();
        let (mut window, mut model) = (Window::new(0, 1000), Model::default());
        for step in steps {
            match step {
                Step::New(count, gap) if window.next() + gap + count <= window.end() => {
                    let first = window.next() + gap;
                    window.pass_to(first);
                    let tag = window.hand_out(count, who, NOW, FAR);
                    let new = (first..first + count).map(|offset| (offset, (1, Some(tag))));
                    model.unsettled.extend(new);
                }
                Step::New(..) => {}
                Step::Inherit(count, delivered) if count <= window.room() => {
                    let first = window.next();
                    window.inherit(count, delivered);
                    for offset in first..first + count {
                        window.ready(offset);
                        model.unsettled.insert(offset, (delivered, None));
                    }
                }
                Step::Inherit(..) => {}
                Step::Again => while let Some(offset) = window.first_ready(0, false) {
                    let tag = window.hand_out_again(offset, who, FAR).unwrap();
                    let (delivered, out) = model.unsettled.get_mut(&offset).unwrap();
                    prop_assert!(out.is_none());
                    *delivered += 1;
                    prop_assert_eq!(tag.attempt(), *delivered);
                    *out = Some(tag);
                },
                Step::Ack(choice, count) => if let Some((first, tag)) = model.pick(choice) {
                    // Neighbours of one tag settle as a run, or else one by one.
                    let run = model.out().skip_while(|(offset, _)| *offset < first).zip(first..).take(count);
                    let run = run.take_while(|((offset, other), at)| offset == at && *other == tag).count() as u64;
                    let swift = window.settle_run(first, run, tag, who, NOW);
                    for offset in first..first + run {
                        if !swift {
                            prop_assert_eq!(window.check(offset, tag, who, NOW), Ok(()));
                            window.settle(offset, Purpose::Done, NOW);
                        }
                        prop_assert_eq!(window.check(offset, tag, who, NOW), Err(Settled::AlreadySettled));
                        prop_assert!(window.is_settled(offset));
                        model.unsettled.remove(&offset);
                    }
                },
                Step::AckOldest => if let Some((offset, tag)) = model.pick(0) {
                    let takes = offset == window.low() && tag.attempt() == 1;
                    prop_assert_eq!(window.settle_oldest(offset, tag, who), takes);
                    prop_assert!(!window.settle_oldest(offset, tag, who), "it is settled once");
                    if takes {
                        prop_assert_eq!(window.check(offset, tag, who, NOW), Err(Settled::AlreadySettled));
                        model.unsettled.remove(&offset);
                    }
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
                Step::Release => {
                    prop_assert_eq!(window.holders().count(), model.out().count());
                    prop_assert_eq!(window.release(who), model.out().count() as u64);
                    for (offset, (_, out)) in &mut model.unsettled {
                        if let Some(tag) = out.take() {
                            prop_assert_eq!(window.check(*offset, tag, who, NOW), Err(Settled::Stale));
                        }
                    }
                }
                Step::Lose(count) => {
                    let head = (window.low() + count).min(window.next());
                    let kept = model.unsettled.split_off(&head);
                    let lost: Vec<_> = std::mem::replace(&mut model.unsettled, kept).into_keys().collect();
                    prop_assert_eq!(window.lose_before(head), lost);
                }
            }
            let oldest = model.unsettled.keys().next().copied();
            prop_assert_eq!(window.low(), oldest.unwrap_or(window.next()));
            prop_assert_eq!(window.pending(), model.unsettled.len() as u64);
            prop_assert!(window.unsettled().map(|(offset, _)| offset).eq(model.unsettled.keys().copied()));
            let repeats = window.unsettled().filter(|(_, slot)| slot.tag.attempt() > 1).count() as u64;
            prop_assert_eq!(repeats, window.repeats());
        }
    }
}

#[test]
fn a_full_window_waits_for_its_oldest_message() {
    let who = Who::member(0).unwrap();
    let mut window = Window::new(0, 100);
    let tag = window.hand_out(100, who, NOW, FAR);
    assert!(window.settle_run(1, 99, tag, who, NOW));
    assert_eq!(window.room(), 0);
    assert!(window.settle_run(0, 1, tag, who, NOW));
    assert_eq!((window.low(), window.end(), window.room()), (100, 200, 100));
}

#[test]
fn a_lease_that_ended_makes_the_message_ready_and_its_receipt_stale() {
    let who = Who::member(0).unwrap();
    let mut window = Window::new(0, 100);
    let tag = window.hand_out(1, who, NOW, FAR);
    window.tick(Moment(FAR.0 - 1));
    assert!(!window.has_ready());
    window.tick(FAR);
    assert_eq!(window.check(0, tag, who, FAR), Err(Settled::Stale));
    let again = window.hand_out_again(0, who, Moment::NEVER).unwrap();
    assert_eq!(again.attempt(), 2);
}

#[test]
fn the_next_message_of_a_key_waits_until_the_one_before_is_settled() {
    let who = Who::member(0).unwrap();
    let key = Bytes::from_static(b"k");
    let mut window = Window::new(0, 100);
    window.mind_keys();
    assert!(window.enter_lane(0, Some(&key)));
    window.hand_out(1, who, NOW, FAR);
    assert!(!window.enter_lane(1, Some(&key)));
    window.park();
    assert_eq!((window.pending(), window.parked()), (1, 1));
    window.settle(0, Purpose::Requeue(NOW, SystemTime::UNIX_EPOCH), NOW);
    assert_eq!(window.first_ready(0, true), Some(0));
    window.hand_out_again(0, who, FAR);
    assert!(
        window.settle(0, Purpose::Done, NOW),
        "its key is free for the next one"
    );
    assert_eq!(window.first_ready(0, true), Some(1));
    assert_eq!(window.hand_out_again(1, who, FAR).unwrap().attempt(), 1);
}

#[test]
fn when_a_message_failed_first_is_taken_over_and_goes_with_it() {
    let who = Who::member(0).unwrap();
    let day = |number: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * number);
    let mut before = Window::new(0, 100);
    before.hand_out(3, who, NOW, FAR);
    for offset in 0..2 {
        before.settle(offset, Purpose::Requeue(NOW, day(1)), NOW);
    }
    let mut window = Window::new(0, 100);
    window.inherit(3, 1);
    window.failed_before(&before);
    assert_eq!(window.first_failed(0), Some(day(1)));
    assert_eq!(window.first_failed(2), None, "it was only handed out");
    // What fails again failed first when it did first.
    window.ready(0);
    let tag = window.hand_out_again(0, who, FAR).unwrap();
    window.settle(0, Purpose::Requeue(NOW, day(2)), NOW);
    assert_eq!((window.first_failed(0), tag.attempt()), (Some(day(1)), 2));
    window.hand_out_again(0, who, FAR).unwrap();
    window.settle(0, Purpose::Done, NOW);
    window.lose(1);
    assert_eq!((window.first_failed(0), window.first_failed(1)), (None, None));
}
