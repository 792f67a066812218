//! When consumers asked for acks, and when they were answered.

use std::collections::HashMap;
use std::time::Duration;

use broker_core::Settled;

use super::clock::Moment;
use super::journal::{Event, What};
use crate::Entry;

/// When consumers asked for acks, and when they were answered.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// By process, in the order of asking.
    asked: HashMap<usize, Vec<Ack>>,
}

#[derive(Debug)]
struct Ack {
    asked: Moment,
    /// When it was told to be done.
    done: Option<Moment>,
}

impl Acks {
    /// Goes through the events of all processes, in the order of their time.
    pub(super) fn of(events: &[(usize, Event)]) -> Self {
        let mut asked: HashMap<usize, Vec<Ack>> = HashMap::new();
        let mut open: HashMap<(usize, Entry), usize> = HashMap::new();
        for (process, event) in events {
            match &event.what {
                What::Acking { entry } => {
                    let acks = asked.entry(*process).or_default();
                    open.insert((*process, *entry), acks.len());
                    acks.push(Ack {
                        asked: event.at,
                        done: None,
                    });
                }
                What::Settled {
                    entry,
                    answer: Settled::Acked | Settled::AlreadySettled,
                } => {
                    let index = open.remove(&(*process, *entry));
                    let acks = asked.get_mut(process);
                    if let Some(ack) = acks.zip(index).and_then(|(acks, index)| acks.get_mut(index)) {
                        ack.done = Some(event.at);
                    }
                }
                _ => {}
            }
        }
        Self { asked }
    }

    /// Whether a process that had an ack done at `done` was then kept waiting for others until `until`, which shows that
    /// acks could not be written down: once `grace` had passed, it asked for none that was told to be done, and within as
    /// long again for one that was not.
    pub(super) fn waited(&self, process: usize, done: Moment, until: Moment, grace: Duration) -> bool {
        let Some(acks) = self.asked.get(&process) else {
            return false;
        };
        let after = acks.partition_point(|ack| ack.asked <= done);
        let later = acks.iter().skip(after).take_while(|ack| ack.asked < until);
        let (mut waited, soon) = (false, done.after(grace * 2));
        for ack in later {
            let is_done = ack.done.is_some_and(|at| at < until);
            if is_done && ack.asked > done.after(grace) {
                return false;
            }
            waited |= !is_done && ack.asked <= soon;
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Acks by their seconds: when each was asked for, and when told to be done.
    fn acks(all: &[(u64, Option<u64>)]) -> Acks {
        let mut events = Vec::new();
        for (sequence, (asked, done)) in (0..).zip(all) {
            let entry = Entry {
                publisher: 0,
                sequence,
            };
            let mut at = |at: u64, what| {
                let at = Moment(at * SECOND);
                events.push((7, Event { at, what }));
            };
            at(*asked, What::Acking { entry });
            if let Some(done) = done {
                let answer = Settled::Acked;
                at(*done, What::Settled { entry, answer });
            }
        }
        events.sort_by_key(|(_, event)| event.at);
        Acks::of(&events)
    }

    fn waited(acks: &Acks, until: u64) -> bool {
        acks.waited(
            7,
            Moment(10 * SECOND),
            Moment(until * SECOND),
            Duration::from_secs(1),
        )
    }

    #[test]
    fn who_was_answered_no_later_ack_could_not_write_the_earlier_one_down() {
        assert!(waited(&acks(&[(10, Some(10)), (12, None)]), 20));
        assert!(waited(&acks(&[(11, Some(11)), (12, Some(21))]), 20), "too late");
    }

    #[test]
    fn who_was_answered_a_later_ack_had_the_earlier_one_written_down() {
        assert!(!waited(&acks(&[(11, None), (12, Some(12))]), 20));
    }

    #[test]
    fn who_asked_for_nothing_was_not_kept_waiting() {
        assert!(!waited(&acks(&[(10, Some(10))]), 20));
        assert!(!waited(&acks(&[(10, Some(10)), (19, None)]), 20), "long after");
        assert!(!waited(&Acks::default(), 20));
    }
}
