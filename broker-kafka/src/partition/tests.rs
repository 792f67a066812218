//! What a partition hands out after another member had it.

use broker_core::base::{Deliveries, Lot};
use broker_core::{Message, Receipt, ReceiptRun};
use broker_window::{Moment, Purpose, Who};

use super::{Partition, Reading};
use crate::chunk::Chunk;
use crate::progress::Progress;

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
    let reading = Reading {
        who: who(),
        now: Moment(1),
        deadline: Moment(1_000_000),
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
