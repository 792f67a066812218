//! Messages that nobody is to see yet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use broker_core::{Message, MessageId};

use crate::log::Named;
use broker_window::Moment;

/// Messages that nobody is to see yet, by the moment they are due.
#[derive(Debug, Default)]
pub(crate) struct Delayed {
    order: BinaryHeap<Reverse<(Moment, u64)>>,
    messages: BTreeMap<u64, Named>,
    next: u64,
}

impl Delayed {
    /// Keeps `message` for `partition` until `due`; answers the id it will have.
    pub(crate) fn push(&mut self, message: Message, partition: u32, due: Moment) -> MessageId {
        self.next += 1;
        let id = MessageId::Text(format!("delayed-{}", self.next).into());
        self.order.push(Reverse((due, self.next)));
        let named = Named {
            id: id.clone(),
            partition,
            message,
        };
        self.messages.insert(self.next, named);
        id
    }

    /// When the next one is due.
    pub(crate) fn due(&self) -> Moment {
        self.order.peek().map_or(Moment::NEVER, |Reverse((due, _))| *due)
    }

    /// Takes out the next one that is due at `now`.
    pub(crate) fn pop(&mut self, now: Moment) -> Option<Named> {
        if self.due() > now {
            return None;
        }
        let Reverse((_, number)) = self.order.pop()?;
        self.messages.remove(&number)
    }

    /// Whether the message of this id is among them.
    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        self.messages.values().any(|named| named.id == *id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.messages.clear();
    }
}
