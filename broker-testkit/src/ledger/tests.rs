//! The ledger tells each thing that does not add up by its name.

use super::*;

const KEY: Option<&str> = Some("k");

/// A ledger with `count` stored messages.
fn ledger(count: usize) -> (Ledger, Vec<Message>) {
    let ledger = Ledger::new("run", "check");
    let messages: Vec<_> = (0..count).map(|_| ledger.message_of(0, KEY, 40)).collect();
    ledger.published(&messages, &Published::run(0, 0, count));
    (ledger, messages)
}

#[test]
fn what_adds_up_is_told_in_one_line() {
    let (ledger, messages) = ledger(3);
    for message in &messages {
        ledger.delivered("g", message);
        ledger.settled("g", message, Settled::Acked);
    }
    assert_eq!(
        ledger.verify_ordered().unwrap().to_string(),
        "published 3, unknown 0, delivered 3, acked 3, lost 0, redelivered 0, duplicated 0, reordered 0, \
         corrupted 0, foreign 0"
    );
}

#[test]
fn a_loss_in_one_group_is_a_loss() {
    let (ledger, messages) = ledger(2);
    for message in &messages {
        ledger.delivered("g", message);
    }
    ledger.delivered("h", &messages[1]);
    assert_eq!(ledger.verdict().lost, 1);
    assert!(ledger.verify().is_err());
}

#[test]
fn nothing_delivered_is_never_a_success() {
    assert!(ledger(0).0.verify().is_err());
}

#[test]
fn a_duplicate_needs_an_excuse_and_none_excuses_one_after_the_ack() {
    let (ledger, messages) = ledger(1);
    ledger.delivered("g", &messages[0]);
    ledger.excuse("g", &messages[0]);
    ledger.delivered("g", &messages[0]);
    assert_eq!(ledger.verify().unwrap().redelivered, 1);
    ledger.excuse("g", &messages[0]);
    ledger.settled("g", &messages[0], Settled::Acked);
    ledger.delivered("g", &messages[0]);
    assert_eq!(ledger.verdict().duplicated, 1);
}

#[test]
fn order_counts_per_key_and_by_first_deliveries() {
    let (ledger, messages) = ledger(3);
    for index in [0, 2, 1] {
        ledger.delivered("g", &messages[index]);
    }
    assert_eq!(ledger.verdict().reordered, 1);
    assert!(ledger.verify().is_ok());
    assert!(ledger.verify_ordered().is_err());
}

#[test]
fn changed_bytes_are_corrupted_and_strangers_are_foreign() {
    let (ledger, messages) = ledger(1);
    let mut changed = messages[0].payload().to_vec();
    changed[20] ^= 1;
    ledger.delivered("g", &Message::new(changed).key("k"));
    ledger.delivered("g", &Message::new(messages[0].payload().slice(..30)).key("k"));
    ledger.delivered("g", &Message::new(messages[0].payload().clone()).key("another"));
    ledger.delivered("g", &Message::text("of somebody else"));
    ledger.delivered("g", &Ledger::new("run", "other check").message());
    let verdict = ledger.verdict();
    assert_eq!((verdict.corrupted, verdict.foreign, verdict.delivered), (3, 2, 0));
}

#[test]
fn what_was_not_sent_must_not_come_and_what_is_unknown_may() {
    let ledger = Ledger::new("run", "check");
    let messages = [ledger.message(), ledger.message()];
    let error = broker_core::Error::closed();
    let outcomes = vec![
        broker_core::Outcome::NotSent(error.clone()),
        broker_core::Outcome::Unknown(error),
    ];
    ledger.published(&messages, &Published::each(outcomes));
    ledger.delivered("g", &messages[1]);
    assert_eq!(ledger.verify().unwrap().unknown, 1);
    ledger.delivered("g", &messages[0]);
    assert_eq!(ledger.verdict().foreign, 1);
}
