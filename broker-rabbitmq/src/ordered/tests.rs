//! What is known of how often a message was handed out, over processes that come and go.

use broker_core::{Message, MessageId};
use lapin::message::Delivery;

use super::notes::{Note, Notes};
use crate::codec;
use crate::config::QueueType;
use crate::entry::Entry;
use crate::meta::Meta;

/// The message as the server gives it when it came back so often.
fn entry(seq: u64, count: u32) -> Entry {
    let meta = Meta::new(MessageId::Entry { ms: 1, seq });
    let (properties, table) = codec::encode(&Message::text("x"), &meta, true).unwrap();
    let mut delivery = Delivery::mock(1, "".into(), "".into(), false, Vec::new());
    delivery.properties = codec::finish(properties, table);
    let mut entry = Entry::new(delivery, QueueType::Quorum);
    (entry.count, entry.attempt) = (count, count + 1);
    entry
}

fn note(notes: &mut Notes, seq: u64, attempts: u32, count: u32) {
    let note = Note {
        attempts,
        count,
        first_failed: Some(7),
    };
    notes.note(entry(seq, 0).identity().unwrap(), note);
}

fn attempt(notes: &Notes, seq: u64, count: u32) -> u32 {
    let mut entry = entry(seq, count);
    notes.clone().apply(&mut entry);
    entry.attempt
}

#[tokio::test]
async fn what_was_written_down_counts_and_then_each_time_that_it_came_back() {
    let mut notes = Notes::default();
    note(&mut notes, 1, 3, 1);
    note(&mut notes, 2, 0, 1);
    assert_eq!(attempt(&notes, 1, 1), 4, "it failed three times in one process");
    assert_eq!(attempt(&notes, 1, 2), 5, "another process had it since and ended");
    assert_eq!(attempt(&notes, 2, 1), 1, "it was sent and never handed out");
    assert_eq!(
        attempt(&notes, 3, 1),
        2,
        "of this one nothing is known but what the server counts"
    );
}

#[tokio::test]
async fn the_later_note_counts_whoever_brings_it() {
    let (mut own, mut written) = (Notes::default(), Notes::default());
    note(&mut own, 1, 2, 1);
    note(&mut written, 1, 5, 3);
    note(&mut own, 2, 2, 1);
    note(&mut written, 2, 1, 1);
    let mut both = own.clone();
    both.merge(&written);
    written.merge(&own);
    for notes in [both, written] {
        assert_eq!(attempt(&notes, 1, 3), 6);
        assert_eq!(attempt(&notes, 2, 1), 3);
    }
}

#[tokio::test]
async fn notes_come_back_as_they_were_written_and_rubbish_is_none() {
    let mut notes = Notes::default();
    note(&mut notes, 1, 3, 1);
    let (mut back, whole) = Notes::from_text(notes.to_text(true).as_bytes());
    let mut entry = entry(1, 1);
    assert!(whole && back.apply(&mut entry));
    assert_eq!((entry.attempt, entry.meta.first_failed), (4, Some(7)));
    assert!(back.is_empty(), "a message comes once");
    let (rubbish, whole) = Notes::from_text(b"{");
    assert!(rubbish.is_empty() && !whole);
}
