//! Races: every scenario runs under many schedules of its threads, each of which must keep the laws.
//!
//! `cargo test -p broker-inline --features shuttle --test races`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise, in its helpers too"
)]

mod support;

use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;

use broker_core::base::{BaseBroker, Disposition, ListenRequest, Membership, Source};
use broker_core::{ErrorKind, Failure, GroupName, Message, Ordering, Settled, StartPosition};
use broker_inline::{InlineConfig, WhenFull, advance};
use shuttle::future::block_on;
use shuttle::thread;

use crate::support::*;

#[test]
fn law_3_publishers_and_readers_lose_nothing_and_wake_each_other() {
    check(|| {
        let broker = open(InlineConfig::default().capacity(3));
        let readers: Vec<_> = ["one", "two"]
            .into_iter()
            .map(|name| {
                let reader = reader(&broker, name);
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    while seen.len() < 4 {
                        // A missed wake-up, of a reader or of a publisher, is a deadlock that the checker finds.
                        let deliveries = block_on(reader.read(1, FOREVER)).unwrap();
                        assert!(reader.try_ack(&runs(&deliveries)).unwrap().unwrap().is_complete());
                        seen.extend(numbers(&deliveries));
                    }
                    seen
                })
            })
            .collect();
        let publishers: Vec<_> = [0, 4]
            .into_iter()
            .map(|from| {
                let publisher = publisher(&broker);
                thread::spawn(move || (from..from + 4).for_each(|number| publish(&publisher, number)))
            })
            .collect();
        publishers
            .into_iter()
            .for_each(|publisher| publisher.join().unwrap());
        let seen: Vec<usize> = readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap())
            .collect();
        assert_eq!(seen.len(), 8);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (0..8).collect());
    });
}

#[test]
fn law_10_batches_that_become_segments_and_single_messages_keep_their_order() {
    check(|| {
        let broker = open(InlineConfig::default());
        let reader = reader(&broker, "one");
        let publisher = publisher(&broker);
        let publishing = thread::spawn(move || {
            publish(&publisher, 0);
            let mut batch = (1..41).map(|number| Message::text(number.to_string())).collect();
            block_on(publisher.publish(&mut batch)).unwrap();
            publish(&publisher, 41);
        });
        let mut seen = Vec::new();
        while seen.len() < 42 {
            let deliveries = block_on(reader.read(7, FOREVER)).unwrap();
            seen.extend(numbers(&deliveries));
        }
        publishing.join().unwrap();
        assert_eq!(seen, (0..42).collect::<Vec<_>>());
    });
}

#[test]
fn law_5_of_an_ack_a_lease_that_ends_and_a_nack_one_wins() {
    check(|| {
        let broker = open(InlineConfig::default());
        publish(&publisher(&broker), 0);
        let one = reader(&broker, "one");
        let two = reader(&broker, "two");
        let first = runs(&one.try_read(1).unwrap().unwrap());
        let acking = {
            let (one, first) = (one.clone(), first.clone());
            thread::spawn(move || one.try_ack(&first).unwrap().unwrap().get(0).unwrap())
        };
        let nacking = thread::spawn(move || {
            let disposition = Disposition::Requeue {
                delay: Duration::ZERO,
            };
            let failure = Failure::default();
            block_on(one.nack(&first, disposition, &failure))
                .unwrap()
                .get(0)
                .unwrap()
        });
        let taking = thread::spawn(move || {
            advance(LEASE);
            two.try_read(1).map(|read| runs(&read.unwrap())[0].first.attempt)
        });
        let (acked, nacked) = (acking.join().unwrap(), nacking.join().unwrap());
        let taken = taking.join().unwrap();
        match (acked, nacked) {
            (Settled::Acked, Settled::AlreadySettled | Settled::Stale) => assert_eq!(taken, None),
            (Settled::AlreadySettled | Settled::Stale, Settled::Nacked) => {
                assert!(matches!(taken, None | Some(2)));
            }
            (Settled::Stale, Settled::Stale) => assert_eq!(taken, Some(2)),
            other => panic!("{other:?} cannot both be"),
        }
    });
}

#[test]
fn law_4_each_delivery_is_handed_out_once_and_each_attempt_counts() {
    check(|| {
        let broker = open(InlineConfig::default());
        let publisher = publisher(&broker);
        (0..3).for_each(|number| publish(&publisher, number));
        let readers: Vec<_> = ["one", "two"]
            .into_iter()
            .map(|name| {
                let reader = reader(&broker, name);
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    while let Some(read) = reader.try_read(1) {
                        let read = read.unwrap();
                        let run = runs(&read)[0];
                        seen.push((numbers(&read)[0], run.first.attempt));
                        if run.first.attempt < 3 {
                            let disposition = Disposition::Requeue {
                                delay: Duration::ZERO,
                            };
                            let settled =
                                block_on(reader.nack(&[run], disposition, &Failure::default())).unwrap();
                            assert!(settled.is_complete());
                        } else {
                            assert!(reader.try_ack(&[run]).unwrap().unwrap().is_complete());
                        }
                    }
                    seen
                })
            })
            .collect();
        let mut seen: Vec<_> = readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap())
            .collect();
        seen.sort_unstable();
        let all: Vec<_> = (0..3)
            .flat_map(|number| (1..=3).map(move |attempt| (number, attempt)))
            .collect();
        assert_eq!(seen, all);
    });
}

#[test]
fn law_11_a_wake_up_is_never_lost_with_a_dropped_read() {
    check(|| {
        let broker = open(InlineConfig::default());
        let (one, two) = (reader(&broker, "one"), reader(&broker, "two"));
        let publisher = publisher(&broker);
        let fickle = thread::spawn({
            let publisher = publisher.clone();
            move || {
                let taken = block_on(async {
                    let mut read = one.read(1, FOREVER);
                    let first =
                        std::future::poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_ready()));
                    let taken = first.await;
                    shuttle::future::yield_now().await;
                    taken
                });
                if taken {
                    publish(&publisher, 1);
                }
            }
        });
        let patient = thread::spawn(move || block_on(two.read(1, FOREVER)).unwrap().len());
        publish(&publisher, 0);
        fickle.join().unwrap();
        assert_eq!(patient.join().unwrap(), 1);
    });
}

#[test]
fn law_12_close_wakes_readers_publishers_and_listeners() {
    check(|| {
        let broker = open(InlineConfig::default().capacity(1));
        let reader = reader(&broker, "one");
        let publisher = publisher(&broker);
        publish(&publisher, 0);
        let request = ListenRequest {
            source: Source::Stream(stream()),
            start: StartPosition::Latest,
        };
        let listener = block_on(broker.families().endpoints.unwrap().listener(&request)).unwrap();
        let waiting = [
            thread::spawn(move || {
                loop {
                    if let Err(error) = block_on(reader.read(1, FOREVER)) {
                        return error.kind();
                    }
                }
            }),
            thread::spawn(move || {
                let mut batch = vec![Message::text("1")];
                block_on(publisher.publish(&mut batch))
                    .map(|_| ())
                    .unwrap_err()
                    .kind()
            }),
            thread::spawn(move || {
                block_on(listener.read(1, FOREVER))
                    .map(|_| ())
                    .unwrap_err()
                    .kind()
            }),
        ];
        block_on(broker.close()).unwrap();
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), ErrorKind::Closed);
        }
    });
}

#[test]
fn law_10_a_key_that_becomes_free_wakes_who_waits_for_it() {
    check(|| {
        let broker = open(InlineConfig::default());
        let publisher = publisher(&broker);
        for number in 0..3 {
            let message = Message::text(number.to_string()).key("k");
            publisher.try_publish_one(&mut Some(message)).unwrap().unwrap();
        }
        let in_sequence = |name| {
            let member = Membership {
                ordering: Ordering::Sequential,
                ..member(name)
            };
            block_on(broker.families().endpoints.unwrap().reader(&member)).unwrap()
        };
        let readers: Vec<_> = [in_sequence("one"), in_sequence("two")]
            .into_iter()
            .map(|reader| {
                let broker = broker.clone();
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    while let Ok(read) = block_on(reader.read(5, FOREVER)) {
                        assert_eq!(read.len(), 1);
                        seen.extend(numbers(&read));
                        assert!(reader.try_ack(&runs(&read)).unwrap().unwrap().is_complete());
                        if seen.last() == Some(&2) {
                            block_on(broker.close()).unwrap();
                        }
                    }
                    seen
                })
            })
            .collect();
        let seen: Vec<Vec<usize>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert!(seen.iter().all(|seen| seen.is_sorted()));
        assert_eq!(
            seen.concat().into_iter().collect::<BTreeSet<_>>(),
            (0..3).collect()
        );
    });
}

#[test]
fn law_14_retention_never_takes_what_a_group_needs() {
    check(|| {
        let broker = open(InlineConfig::default().capacity(2).when_full(WhenFull::Refuse));
        let reader = reader(&broker, "one");
        let publisher = publisher(&broker);
        let publishing = thread::spawn(move || {
            (0..6)
                .filter(|number| {
                    let message = Message::text(number.to_string());
                    publisher.try_publish_one(&mut Some(message)).unwrap().is_ok()
                })
                .collect::<Vec<usize>>()
        });
        let moving = thread::spawn({
            let broker = broker.clone();
            move || {
                let replay = broker.families().replay.unwrap();
                let group = GroupName::new("g").unwrap();
                block_on(replay.seek(&stream(), &group, &StartPosition::Earliest)).unwrap();
            }
        });
        let mut seen = BTreeSet::new();
        let read = |seen: &mut BTreeSet<usize>| {
            while let Some(read) = reader.try_read(1) {
                let read = read.unwrap();
                seen.extend(numbers(&read));
                reader.try_ack(&runs(&read)).unwrap().unwrap();
            }
        };
        read(&mut seen);
        let stored = publishing.join().unwrap();
        moving.join().unwrap();
        read(&mut seen);
        assert_eq!(seen, stored.into_iter().collect());
    });
}

#[test]
fn a_deleted_group_is_made_anew_by_whoever_reads() {
    check(|| {
        let broker = open(InlineConfig::default());
        let (one, two) = (reader(&broker, "one"), reader(&broker, "two"));
        publish(&publisher(&broker), 0);
        let deleting = thread::spawn({
            let broker = broker.clone();
            move || {
                let groups = broker.families().groups.unwrap();
                block_on(groups.delete(&stream(), &GroupName::new("g").unwrap(), true)).unwrap()
            }
        });
        let reading = thread::spawn(move || one.try_read(1).map(|read| numbers(&read.unwrap())));
        deleting.join().unwrap();
        reading.join().unwrap();
        advance(LEASE);
        assert_eq!(numbers(&two.try_read(1).unwrap().unwrap()), [0]);
    });
}
