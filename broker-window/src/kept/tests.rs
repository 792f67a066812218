//! What is kept beside a window, and how it is handed out.

use std::sync::Arc;
use std::time::SystemTime;

use broker_core::base::MessageStore;
use broker_core::{Message, MessageId, Receipt};

use super::{Chunk, Kept};
use crate::{HandedOut, Moment, Purpose, Reading, Tag, Who, Window};

const NOW: Moment = Moment(1);

/// Messages by their keys, each with how often it was handed out before.
#[derive(Debug)]
struct Keys(Vec<(Message, u32)>);

impl MessageStore for Keys {
    fn message(&self, index: usize) -> Option<&Message> {
        self.0.get(index).map(|(message, _)| message)
    }

    fn id(&self, _: usize, receipt: &Receipt) -> MessageId {
        receipt.offset_id()
    }
}

impl Chunk for Keys {
    fn before(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |(_, before)| *before)
    }
}

struct Log {
    window: Window,
    kept: Kept<Keys>,
    /// How many chunks went.
    freed: usize,
}

impl Log {
    fn new(limit: u64) -> Self {
        Self {
            window: Window::new(10, limit),
            kept: Kept::default(),
            freed: 0,
        }
    }

    fn came(&mut self, first: u64, keys: &[(&'static str, u32)]) {
        let keys = keys
            .iter()
            .map(|(key, before)| (Message::text("tea").key(*key), *before));
        let keys = Keys(keys.collect());
        let len = keys.0.len() as u64;
        self.kept.keep(first, len, len, Arc::new(keys));
    }

    /// Offsets and attempts of what a read hands out, run by run.
    fn read(&mut self, max: usize, sequential: bool) -> Vec<Vec<(u64, u32)>> {
        let reading = Reading {
            who: who(),
            now: NOW,
            deadline: Moment::NEVER,
            sequential,
        };
        let mut runs = Vec::new();
        let give = |handed: HandedOut<Keys>| {
            let lot = handed.into_lot(3, 7);
            let receipts = (0..lot.len()).filter_map(|index| lot.receipt(index));
            let receipts: Vec<_> = receipts.collect();
            assert!(
                receipts
                    .iter()
                    .all(|one| (one.partition, Tag::epoch(one)) == (3, 7))
            );
            runs.push(receipts);
        };
        let count = self.kept.read(&mut self.window, max, reading, |_, _| true, give);
        assert_eq!(count, runs.iter().map(Vec::len).sum::<usize>());
        for receipt in runs.iter().flatten() {
            let tag = self.kept.tag(receipt);
            assert_eq!(self.window.check(receipt.sequence, tag, who(), NOW), Ok(()));
        }
        let told = |run: &Vec<Receipt>| run.iter().map(|one| (one.sequence, one.attempt)).collect();
        runs.iter().map(told).collect()
    }

    fn done(&mut self, offset: u64) {
        self.window.settle(offset, Purpose::Done, NOW);
        self.kept.release(offset, 1, |_| self.freed += 1);
    }

    fn failed(&mut self, offset: u64) {
        let purpose = Purpose::Requeue(NOW, SystemTime::UNIX_EPOCH);
        self.window.settle(offset, purpose, NOW);
    }
}

fn who() -> Who {
    Who::member(0).unwrap()
}

#[test]
fn neighbours_go_out_together_as_far_as_they_came_together_and_were_handed_out_equally_often() {
    let mut log = Log::new(100);
    log.came(10, &[("a", 0), ("b", 0), ("c", 2), ("d", 2)]);
    // What lies between holds no message.
    log.came(17, &[("e", 0)]);
    assert_eq!(log.kept.unread(&log.window), 5);
    assert_eq!(log.read(3, false), [vec![(10, 1), (11, 1)], vec![(12, 3)]]);
    assert_eq!(log.kept.unread(&log.window), 2);
    assert_eq!(log.read(9, false), [vec![(13, 3)], vec![(17, 1)]]);
    assert!(log.read(9, false).is_empty());
}

#[test]
fn what_failed_comes_first_with_its_attempts_counted_on() {
    let mut log = Log::new(100);
    log.came(10, &[("a", 0), ("b", 2), ("c", 0)]);
    assert_eq!(log.read(2, false), [vec![(10, 1)], vec![(11, 3)]]);
    log.failed(11);
    assert_eq!(log.read(9, false), [vec![(11, 4)], vec![(12, 1)]]);
}

#[test]
fn a_chunk_goes_with_the_last_of_its_messages_and_those_behind_it_stay() {
    let mut log = Log::new(100);
    log.came(10, &[("a", 0), ("b", 0)]);
    log.came(12, &[("c", 0), ("d", 0)]);
    assert_eq!(log.read(9, false).concat().len(), 4);
    for (offset, freed) in [(12, 0), (10, 0), (13, 1)] {
        log.done(offset);
        assert_eq!(log.freed, freed, "{offset}");
    }
    assert!(log.kept.find(13).is_none() && log.kept.find(11).is_some());
    assert!(log.kept.find(9).is_none() && log.kept.find(14).is_none());
    log.done(11);
    assert!(log.kept.is_empty());
    assert_eq!((log.freed, log.window.low()), (2, 14));
}

#[test]
fn a_run_of_several_chunks_is_released_at_once() {
    let mut log = Log::new(100);
    log.came(10, &[("a", 0), ("b", 0)]);
    log.came(12, &[("c", 0)]);
    log.came(13, &[("d", 0), ("e", 0)]);
    log.read(9, false);
    let mut freed = Vec::new();
    log.kept.release(11, 3, |chunk| freed.push(chunk.0.len()));
    assert_eq!(freed, [1]);
    assert_eq!(log.kept.chunks().count(), 2);
}

#[test]
fn no_more_is_handed_out_than_fits_into_the_window() {
    let mut log = Log::new(2);
    log.came(10, &[("a", 0), ("b", 0), ("c", 0)]);
    assert_eq!(log.read(9, false), [vec![(10, 1), (11, 1)]]);
    assert!(log.kept.next_new(&log.window).is_none());
    log.done(10);
    let new = log.kept.next_new(&log.window).unwrap();
    assert_eq!((new.first, new.until, new.index), (12, 13, 2));
    assert_eq!(log.read(9, false), [vec![(12, 1)]]);
}

#[test]
fn in_sequence_a_key_waits_for_its_first_and_what_is_out_already_counts() {
    let mut log = Log::new(100);
    log.came(10, &[("a", 0), ("b", 0), ("a", 0), ("b", 0), ("c", 0)]);
    assert_eq!(log.read(1, false), [vec![(10, 1)]]);
    assert_eq!(log.read(9, true), [vec![(11, 1)], vec![(14, 1)]]);
    log.failed(10);
    assert_eq!(log.read(9, true), [vec![(10, 2)]]);
    log.done(10);
    log.done(11);
    assert_eq!(log.read(9, true), [vec![(12, 1)], vec![(13, 1)]]);
    // Who does not mind gets each key's next at once.
    log.came(15, &[("c", 0)]);
    assert_eq!(log.read(9, false), [vec![(15, 1)]]);
}

#[test]
fn what_may_not_repeat_waits_and_holds_up_nothing() {
    let mut log = Log::new(100);
    log.came(10, &[("a", 0), ("b", 0), ("c", 0)]);
    log.read(2, false);
    log.failed(10);
    log.failed(11);
    let reading = Reading {
        who: who(),
        now: NOW,
        deadline: Moment::NEVER,
        sequential: false,
    };
    let mut out = Vec::new();
    let may_repeat = |_: &Window, offset| offset > 10;
    let give = |handed: HandedOut<Keys>| out.push(handed.first);
    let count = log.kept.read(&mut log.window, 9, reading, may_repeat, give);
    assert_eq!((count, out), (2, vec![11, 12]));
    assert!(log.window.has_ready(), "it may later");
}
