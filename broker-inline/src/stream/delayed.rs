//! Messages that nobody is to see yet.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use broker_core::{Message, MessageId};
use broker_window::Moment;

use crate::log::Named;

/// Messages that nobody is to see yet, by the moment they are due.
#[derive(Debug, Default)]
pub(crate) struct Delayed {
    waiting: BinaryHeap<Reverse<Waiting>>,
    count: u64,
}

#[derive(Debug)]
struct Waiting {
    due: Moment,
    /// Those of one moment keep their order.
    number: u64,
    named: Named,
}

impl Delayed {
    /// Keeps `message` for `partition` until `due`; answers the id it will have.
    pub(crate) fn push(&mut self, message: Message, partition: u32, due: Moment) -> MessageId {
        self.count += 1;
        let id = MessageId::Text(format!("delayed-{}", self.count).into());
        self.waiting.push(Reverse(Waiting {
            due,
            number: self.count,
            named: Named {
                id: id.clone(),
                partition,
                message,
            },
        }));
        id
    }

    /// When the next one is due.
    pub(crate) fn due(&self) -> Moment {
        self.waiting
            .peek()
            .map_or(Moment::NEVER, |Reverse(next)| next.due)
    }

    /// Takes out the next one that is due at `now`.
    pub(crate) fn pop(&mut self, now: Moment) -> Option<Named> {
        if self.due() > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(next)| next.named)
    }

    /// Whether the message of this id is among them.
    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        self.waiting.iter().any(|Reverse(other)| other.named.id == *id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}
