//! A piece of a log, shared by all who read it.

use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use broker_core::base::MessageStore;
use broker_core::{Message, MessageId, Receipt};

use crate::clock::Stamp;
use crate::number::index;

/// Neighbouring messages of one partition, from offset `first` on.
///
/// A segment knows the one after it only weakly: a delivery that somebody keeps for long keeps its own segment, and
/// not everything that was published since.
///
/// Aligned so that the reference counts before it, which readers change, lie on another cache line than what the
/// publisher looks at for each message.
#[repr(align(128))]
pub(crate) struct Segment {
    first: u64,
    body: Body,
    next: OnceLock<Next>,
}

struct Next {
    first: u64,
    segment: Weak<Segment>,
}

enum Body {
    /// A published vector as it was handed in.
    Whole(Vec<Message>, Stamp),
    /// Single messages that were gathered before anybody looked for them.
    Gathered(Vec<Entry>),
    /// Room for single messages, filled from the front by whoever holds the log.
    Open(Box<[OnceLock<Entry>]>),
    /// Messages whose ids do not tell their places: delayed ones, and replayed dead letters.
    Named(Vec<Named>, Stamp),
}

/// A single message.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) at: Stamp,
}

/// A message with an id of its own.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) id: MessageId,
    /// The partition it was first stored in.
    pub(crate) partition: u32,
    pub(crate) message: Message,
}

/// An empty place for a message.
pub(crate) struct Slot<'a>(&'a OnceLock<Entry>);

impl Slot<'_> {
    #[inline]
    pub(super) fn fill(self, entry: Entry) {
        let filled = self.0.set(entry);
        debug_assert!(filled.is_ok(), "an offset is given once");
    }
}

impl Segment {
    pub(crate) fn whole(first: u64, messages: Vec<Message>, at: Stamp) -> Self {
        Self::new(first, Body::Whole(messages, at))
    }

    pub(super) fn gathered(first: u64, entries: Vec<Entry>) -> Self {
        Self::new(first, Body::Gathered(entries))
    }

    pub(crate) fn open(first: u64, room: usize) -> Self {
        Self::new(first, Body::Open((0..room).map(|_| OnceLock::new()).collect()))
    }

    pub(crate) fn named(first: u64, messages: Vec<Named>, at: Stamp) -> Self {
        Self::new(first, Body::Named(messages, at))
    }

    fn new(first: u64, body: Body) -> Self {
        Self {
            first,
            body,
            next: OnceLock::new(),
        }
    }

    /// The offset of its first message.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The offset after the last one it has or may get.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        match self.next.get() {
            Some(next) => next.first,
            None => self.first + self.room() as u64,
        }
    }

    /// How many messages it can have.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match &self.body {
            Body::Whole(messages, _) => messages.len(),
            Body::Gathered(entries) => entries.len(),
            Body::Open(slots) => slots.len(),
            Body::Named(messages, _) => messages.len(),
        }
    }

    /// The empty place for the message at `offset`, where there is one. Only the holder of the log asks, once for each
    /// offset.
    #[inline]
    pub(crate) fn free_slot(&self, offset: u64) -> Option<Slot<'_>> {
        match &self.body {
            Body::Open(slots) if self.next.get().is_none() => slots.get(self.place(offset)).map(Slot),
            _ => None,
        }
    }

    /// Lets readers go on to `segment`; what is left of its own room stays unused.
    pub(crate) fn link(&self, segment: &Arc<Self>) {
        let _ = self.next.set(Next {
            first: segment.first,
            segment: Arc::downgrade(segment),
        });
    }

    /// Says that it ends at `offset` and that what follows has to be looked up, unless it knows what follows.
    pub(crate) fn close(&self, offset: u64) {
        let _ = self.next.set(Next {
            first: offset,
            segment: Weak::new(),
        });
    }

    /// The segment after this one, if there is one and it is still kept.
    #[inline]
    pub(crate) fn next(&self) -> Option<Arc<Self>> {
        self.next.get()?.segment.upgrade()
    }

    /// Where in the store the message of `offset` lies.
    #[inline]
    pub(crate) fn place(&self, offset: u64) -> usize {
        index(offset - self.first)
    }

    /// The message at `offset`.
    pub(crate) fn at(&self, offset: u64) -> Option<&Message> {
        self.message(self.place(offset))
    }

    /// The id that was given to whoever published the message at `offset` of `partition`.
    pub(crate) fn id_at(&self, partition: u32, offset: u64) -> MessageId {
        match &self.body {
            Body::Named(messages, _) => messages.get(self.place(offset)).map(|named| named.id.clone()),
            Body::Whole(..) | Body::Gathered(_) | Body::Open(_) => None,
        }
        .unwrap_or(MessageId::Offset { partition, offset })
    }

    /// The partition that the message at `offset` of `partition` was first stored in.
    pub(crate) fn partition_at(&self, partition: u32, offset: u64) -> u32 {
        match &self.body {
            Body::Named(messages, _) => messages.get(self.place(offset)).map(|named| named.partition),
            Body::Whole(..) | Body::Gathered(_) | Body::Open(_) => None,
        }
        .unwrap_or(partition)
    }

    /// The offset of the message that was given `id`, if that id does not tell its place and is here.
    pub(crate) fn find_named(&self, id: &MessageId) -> Option<u64> {
        match &self.body {
            Body::Named(messages, _) => messages
                .iter()
                .position(|named| named.id == *id)
                .map(|at| self.first + at as u64),
            Body::Whole(..) | Body::Gathered(_) | Body::Open(_) => None,
        }
    }

    /// When the message at `offset` was stored.
    pub(crate) fn stamp_at(&self, offset: u64) -> Option<Stamp> {
        match &self.body {
            Body::Whole(_, at) | Body::Named(_, at) => Some(*at),
            Body::Gathered(entries) => Some(entries.get(self.place(offset))?.at),
            Body::Open(slots) => Some(slots.get(self.place(offset))?.get()?.at),
        }
    }

    /// The first offset from `from` up to `to` that was stored at `at` or later.
    pub(crate) fn first_since(&self, at: Stamp, from: u64, to: u64) -> Option<u64> {
        match &self.body {
            Body::Whole(_, stored) | Body::Named(_, stored) => (*stored >= at && from < to).then_some(from),
            Body::Gathered(_) | Body::Open(_) => {
                (from..to).find(|offset| self.stamp_at(*offset).is_some_and(|stored| stored >= at))
            }
        }
    }
}

impl MessageStore for Segment {
    #[inline]
    fn message(&self, index: usize) -> Option<&Message> {
        match &self.body {
            Body::Whole(messages, _) => messages.get(index),
            Body::Gathered(entries) => entries.get(index).map(|entry| &entry.message),
            Body::Open(slots) => slots.get(index)?.get().map(|entry| &entry.message),
            Body::Named(messages, _) => messages.get(index).map(|named| &named.message),
        }
    }

    fn id(&self, _: usize, receipt: &Receipt) -> MessageId {
        self.id_at(receipt.partition, receipt.sequence)
    }

    fn stored_at(&self, index: usize) -> Option<SystemTime> {
        self.stamp_at(self.first + index as u64).map(SystemTime::from)
    }
}
