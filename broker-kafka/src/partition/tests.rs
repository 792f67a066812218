//! What a partition hands out after another member had it.

use broker_core::base::{Deliveries, Lot};
use broker_core::{Message, Receipt, ReceiptRun, Settled};
use broker_window::{Moment, Purpose, Who};

use super::{Partition, Reading};
use crate::chunk::Chunk;
use crate::places::retry_number;
use crate::progress::{Progress, SPAN};
use crate::retry::Retried;

fn chunk(first: u64, keys: &[&'static str]) -> Chunk {
    let messages = keys.iter().map(|key| Message::text("tea").key(*key));
    Chunk {
        first,
        messages: messages.collect(),
        times: vec![0; keys.len()],
        bytes: 64 * keys.len(),
        retried: Vec::new(),
    }
}

fn who() -> Who {
    Who::member(0).unwrap()
}

fn read(partition: &mut Partition) -> Vec<Receipt> {
    read_at(partition, Moment(1))
}

fn read_at(partition: &mut Partition, now: Moment) -> Vec<Receipt> {
    let reading = Reading {
        who: who(),
        now,
        deadline: Moment::NEVER,
        sequential: true,
    };
    let mut out = Deliveries::new();
    partition.read(100, reading, &mut out);
    let each = |lot: &Lot| {
        (0..lot.len())
            .filter_map(|index| lot.receipt(index))
            .collect::<Vec<_>>()
    };
    out.lots().iter().flat_map(each).collect()
}

fn offsets(receipts: &[Receipt]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt.sequence).collect()
}

#[test]
fn a_key_does_not_wait_for_a_settled_message_that_comes_in_again() {
    let mut progress = Progress {
        generation: 1,
        runs: Vec::new(),
    };
    // Out, settled, and passed over for the sake of an earlier one of its key.
    for fate in [Some(1), None, Some(0)] {
        progress.push(1, fate);
    }
    let mut partition = Partition::new(0, 1, 10, Some(&progress));
    assert!(read(&mut partition).is_empty(), "nothing has come in yet");
    partition.arrive(chunk(10, &["one", "two", "two"]), Moment(1));
    partition.arrive(chunk(13, &["two", "three"]), Moment(1));
    assert_eq!(offsets(&read(&mut partition)), [10, 12, 14]);
}

#[test]
fn what_is_for_another_group_counts_as_settled_once_all_before_it_is() {
    let mut partition = Partition::new(0, 1, 10, None);
    partition.arrive(chunk(10, &["one"]), Moment(1));
    partition.pass(11);
    for receipt in read(&mut partition) {
        let run = ReceiptRun {
            first: receipt,
            len: 1,
        };
        partition.settle(run, who(), Purpose::Done, Moment(1), |_, _| {});
    }
    assert_eq!(partition.progress().0, 12);
}

/// Messages that were delivered so often, and are due in an hour or at once.
fn retried(first: u64, attempts: &[&'static str], due: bool) -> Chunk {
    let hour = std::time::Duration::from_secs(3600);
    let due = std::time::SystemTime::now() + if due { std::time::Duration::ZERO } else { hour };
    let due = crate::burial::millis(due).to_string();
    let mut chunk = chunk(first, attempts);
    for attempts in attempts {
        let mut one = Retried::default();
        for (name, value) in [("attempts", *attempts), ("due", &due), ("delay", "3600000")] {
            assert!(one.take(&format!("broker-retry-{name}"), value.as_bytes()));
        }
        chunk.retried.push(one);
    }
    chunk
}

#[test]
fn what_a_retry_topic_brings_rests_until_it_is_due_and_its_attempts_count_on_over_restarts() {
    let attempts = |receipts: &[Receipt]| receipts.iter().map(|one| one.attempt).collect::<Vec<_>>();
    let mut partition = Partition::new(retry_number(0), 1, 0, None);
    partition.arrive(retried(0, &["1", "3"], false), Moment(1));
    assert!(read(&mut partition).is_empty());
    let late = Moment::at(std::time::Duration::from_secs(3601));
    let receipts = read_at(&mut partition, late);
    assert_eq!(attempts(&receipts), [2, 4]);
    let done = ReceiptRun {
        first: receipts[0],
        len: 1,
    };
    partition.settle(done, who(), Purpose::Done, late, |answer, _| {
        assert_eq!(answer, Settled::Acked);
    });
    let (start, text) = partition.progress();
    let progress = Progress::from_text(&text).unwrap();
    assert_eq!((start, progress.pending()), (1, 1));

    let mut next = Partition::new(retry_number(0), 2, start, Some(&progress));
    next.arrive(retried(1, &["3"], true), Moment(1));
    assert_eq!(attempts(&read_at(&mut next, late)), [5]);
}

#[test]
fn as_many_messages_rest_as_fit_and_the_rest_waits_for_them() {
    let mut partition = Partition::new(retry_number(0), 1, 0, None);
    let many = vec!["1"; 1000];
    for piece in 0..9 {
        partition.arrive(retried(piece * 1000, &many, true), Moment(1));
    }
    let mut receipts = Vec::new();
    loop {
        let more = read_at(&mut partition, Moment(2));
        if more.is_empty() {
            break;
        }
        receipts.extend(more);
    }
    // Second deliveries from here need no room in a commit.
    assert_eq!(receipts.len() as u64, SPAN);
    for receipt in receipts {
        partition.settle(receipt.into(), who(), Purpose::Done, Moment(2), |_, _| {});
    }
    assert_eq!(read_at(&mut partition, Moment(3)).len(), 100);
}
