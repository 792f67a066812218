//! What a broker has to do, in plain data.

use std::time::Duration;

use broker_core::{Capabilities, MessageId, Settled};

use super::item::{Item, Name, Span, State};
use super::operation::How;

/// What a broker has to do, in plain data: no threads, no storage, nothing clever.
///
/// Where the laws leave a broker free, such as which of two ready messages comes first, it does not foretell: it judges
/// what the broker did, and goes on from there. Times are spans, as nobody can tell when a call took effect, only that
/// it was between its beginning and its end.
#[derive(Debug)]
pub(super) struct Reference {
    flags: Capabilities,
    lease: Duration,
    keys: Vec<Option<u8>>,
    groups: Vec<Option<Group>>,
    deliveries: u64,
}

/// A group: each message that it has to see, and its dead letters, the oldest first.
#[derive(Clone, Debug, Default)]
struct Group {
    items: Vec<Item>,
    dead: Vec<Dead>,
    moves: u64,
}

/// A group's dead letter.
#[derive(Clone, Debug)]
pub(super) struct Dead {
    /// Its id, once a list has told it.
    pub(super) id: Option<MessageId>,
    pub(super) number: usize,
    pub(super) attempts: u32,
}

/// A delivery, to settle it by.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) group: usize,
    pub(super) name: Name,
    serial: u64,
    moves: u64,
    settled: bool,
}

/// What a broker did and may not do, in one line.
pub(super) type Judgement<T = ()> = Result<T, String>;

impl Reference {
    pub(super) fn new(flags: Capabilities, lease: Duration, groups: usize) -> Self {
        Self {
            flags,
            lease,
            keys: Vec::new(),
            groups: vec![None; groups],
            deliveries: 0,
        }
    }

    /// The next message's number, which every group gets to see.
    pub(super) fn publish(&mut self, key: Option<u8>) -> usize {
        let number = self.keys.len();
        self.keys.push(key);
        for group in self.groups.iter_mut().flatten() {
            group.items.push(Item::of(number));
        }
        number
    }

    pub(super) fn messages(&self) -> usize {
        self.keys.len()
    }

    /// Makes a group, unless it is there; answers whether it was not.
    pub(super) fn create(&mut self, group: usize, latest: bool) -> bool {
        let from = if latest { self.keys.len() } else { 0 };
        let items = (from..self.keys.len()).map(Item::of).collect();
        match self.groups.get_mut(group) {
            Some(slot @ None) => {
                *slot = Some(Group {
                    items,
                    ..Group::default()
                });
                true
            }
            _ => false,
        }
    }

    pub(super) fn exists(&self, group: usize) -> bool {
        self.group(group).is_some()
    }

    /// Moves a group so that message `from` is its next one.
    pub(super) fn seek(&mut self, group: usize, from: usize) {
        let count = self.keys.len();
        let Some(group) = self.group_mut(group) else {
            return;
        };
        group.moves += 1;
        let before = std::mem::take(&mut group.items);
        group.items = (from..count)
            .map(|number| {
                let known = before.iter().find(|item| item.name == Name::of(number));
                Item {
                    attempts: known.map_or(0, |item| item.attempts),
                    moved: known.is_some(),
                    ..Item::of(number)
                }
            })
            .collect();
    }

    /// Whether moving the group says what becomes of its messages: of replayed ones the laws say nothing.
    pub(super) fn may_seek(&self, group: usize) -> bool {
        let undone = |item: &Item| item.name.replayed_from.is_some() && !item.is_done();
        self.group(group)
            .is_some_and(|group| !group.items.iter().any(undone))
    }

    /// Whether a read that begins now has to find something.
    pub(super) fn is_due(&self, group: usize, now: Duration) -> bool {
        self.group(group)
            .is_some_and(|group| group.items.iter().any(|item| item.must_come(now)))
    }

    /// How many messages the group has to see still, pending ones included.
    pub(super) fn undone(&self, group: usize) -> u64 {
        let undone = |group: &Group| group.items.iter().filter(|item| !item.is_done()).count();
        self.group(group).map_or(0, undone) as u64
    }

    /// Judges one delivery of a read that took place within `at`.
    pub(super) fn deliver(&mut self, group: usize, name: Name, attempt: u32, at: Span) -> Judgement<Handed> {
        let (flags, until) = (self.flags, at.plus(self.lease));
        let key = self.keys.get(name.number).copied().flatten();
        let keys = self.keys.clone();
        self.deliveries += 1;
        let serial = self.deliveries;
        let Some(found) = self.group_mut(group) else {
            return Err(format!("group {group} was handed a message and does not exist"));
        };
        let place = found.items.iter().position(|item| item.name == name);
        let ahead = |item: &Item| {
            let its_key = keys.get(item.name.number).copied().flatten();
            item.is_new() && item.name.replayed_from.is_none() && its_key == key
        };
        let skipped = found
            .items
            .iter()
            .take(place.unwrap_or(0))
            .find(|item| ahead(item))
            .map(|item| item.name.number);
        let Some(item) = place.and_then(|place| found.items.get_mut(place)) else {
            return Err(format!("{name} came, which group {group} does not have"));
        };
        if !item.may_come(at.to) {
            return Err(format!(
                "{name} came to group {group} while it was {:?}",
                item.state
            ));
        }
        let counts = attempt == item.attempts + 1 || (item.moved && attempt == 1);
        if !counts {
            return Err(format!(
                "{name} came to group {group} as attempt {attempt} after {} deliveries",
                item.attempts
            ));
        }
        let ordered = flags.contains(Capabilities::MESSAGE_ORDERING) && key.is_some();
        if let Some(skipped) = skipped.filter(|_| ordered && item.is_new() && name.replayed_from.is_none()) {
            return Err(format!(
                "{name} came to group {group} before message {skipped} of its key"
            ));
        }
        item.attempts = attempt;
        item.latest = serial;
        item.moved = false;
        item.state = if flags.contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
            State::Held {
                delivery: serial,
                until,
            }
        } else {
            State::Done
        };
        Ok(Handed {
            group,
            name,
            serial,
            moves: found.moves,
            settled: false,
        })
    }

    /// Judges what settling a delivery within `at` answered; `delay` is how long a refused message rests.
    pub(super) fn settle(
        &mut self,
        handed: &mut Handed,
        how: How,
        delay: Duration,
        answer: Settled,
        at: Span,
    ) -> Judgement {
        let wrong = |why: &str| Err(format!("{how:?} of {} answered {answer:?} {why}", handed.name));
        let Some(group) = self.groups.get_mut(handed.group).and_then(Option::as_mut) else {
            return wrong("for a group that does not exist");
        };
        let moved = group.moves != handed.moves;
        let Some(item) = group.items.iter_mut().find(|item| item.name == handed.name) else {
            return if answer.took_effect() {
                wrong("although the group was moved past it")
            } else {
                Ok(())
            };
        };
        let (current, until) = match item.state {
            State::Held { delivery, until } => (delivery == handed.serial, Some(until)),
            _ => (false, None),
        };
        if !current {
            let again = item.latest != handed.serial;
            return match answer {
                Settled::Acked | Settled::Nacked => wrong("although that delivery was over"),
                Settled::AlreadySettled => Ok(()),
                // Its partition may belong to another member by now.
                Settled::Stale if self.flags.contains(Capabilities::STREAM_PARTITIONING) => Ok(()),
                _ if handed.settled && !again && !moved => wrong("although it was settled by itself"),
                _ => Ok(()),
            };
        }
        let expected = if how == How::Ack {
            Settled::Acked
        } else {
            Settled::Nacked
        };
        if answer != expected {
            let ended = until.is_some_and(|until| at.to >= until.from);
            return if ended && !answer.took_effect() {
                Ok(())
            } else {
                wrong("within its lease")
            };
        }
        handed.settled = true;
        item.state = match how {
            How::Ack | How::Discard | How::DeadLetter => State::Done,
            How::Nack | How::NackLater => State::Resting {
                until: at.plus(delay),
            },
            How::GiveBack => State::Resting { until: at },
        };
        match how {
            How::GiveBack => item.attempts -= 1,
            How::DeadLetter => group.dead.push(Dead {
                id: None,
                number: handed.name.number,
                attempts: item.attempts,
            }),
            _ => {}
        }
        Ok(())
    }

    /// A group's dead letters, the oldest first; `None` where there is no such group.
    pub(super) fn dead(&mut self, group: usize) -> Option<&mut Vec<Dead>> {
        Some(&mut self.group_mut(group)?.dead)
    }

    /// Puts the dead letters back of which `chosen` is true; answers how many.
    pub(super) fn replay(&mut self, group: usize, chosen: impl Fn(&Dead) -> bool) -> u64 {
        let Some(group) = self.group_mut(group) else {
            return 0;
        };
        let (back, left) = std::mem::take(&mut group.dead)
            .into_iter()
            .partition::<Vec<_>, _>(chosen);
        group.dead = left;
        let count = back.len() as u64;
        group.items.extend(back.into_iter().map(|dead| Item {
            name: Name {
                number: dead.number,
                replayed_from: dead.id,
            },
            ..Item::of(dead.number)
        }));
        count
    }

    fn group(&self, group: usize) -> Option<&Group> {
        self.groups.get(group)?.as_ref()
    }

    fn group_mut(&mut self, group: usize) -> Option<&mut Group> {
        self.groups.get_mut(group)?.as_mut()
    }
}
