//! The messages of one partition, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use broker_core::{Message, MessageId};
use smallvec::SmallVec;

use super::segment::{Entry, Named, Segment};
use crate::clock::Stamp;
use crate::number::index;

/// A published vector of this length or longer becomes a segment as it is; shorter ones are put into open segments.
pub(crate) const WHOLE: usize = 32;
/// The room of a log's first open segment; each that fills up is followed by one of twice the room.
const SMALLEST: usize = 16;
const LARGEST: usize = 512;
/// The most single messages that are gathered before they become a segment, if no reader came for them.
const GATHERED: usize = 256;

/// The messages of one partition, in order: segments, of which the first may be used up in part.
///
/// A single message waits in an open list until a reader comes or the list is long: written there, it costs next to
/// nothing; a slot that readers may look at meanwhile costs two locked instructions. Whoever asks for more than the ends
/// [settles](Self::settle) the list first.
///
/// Held under its owner's lock. What it lets go of is handed out, so that dropping it is done without the lock.
#[derive(Debug)]
pub(crate) struct Log {
    partition: u32,
    head: u64,
    /// The end of the last segment.
    tail: u64,
    segments: VecDeque<Kept>,
    /// The newest messages, which are in no segment yet.
    fresh: Vec<Entry>,
    fresh_bytes: usize,
    /// The room of the next list of them: as many as there were last time.
    fresh_room: usize,
    /// The room of the next open segment.
    room: usize,
    limits: SegmentLimits,
}

/// How large one segment may get: what a log can't let go of in part is small beside what it keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// History is let go of by whole segments up to this length, for speed, and message by message beyond.
    pub(crate) small: usize,
}

struct Kept {
    segment: Arc<Segment>,
    /// Of the messages from `head` on.
    bytes: usize,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.segment.first(), self.segment.end())
    }
}

/// What a log let go of.
#[derive(Default)]
pub(crate) struct Cut {
    pub(crate) messages: u64,
    pub(crate) bytes: usize,
    segments: SmallVec<[Arc<Segment>; 2]>,
}

impl Cut {
    pub(crate) fn join(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.segments.extend(other.segments);
    }
}

impl Log {
    pub(crate) fn new(partition: u32, limits: SegmentLimits) -> Self {
        Self {
            partition,
            head: 0,
            tail: 0,
            segments: VecDeque::new(),
            fresh: Vec::new(),
            fresh_bytes: 0,
            fresh_room: SMALLEST,
            room: SMALLEST,
            limits,
        }
    }

    pub(crate) fn partition(&self) -> u32 {
        self.partition
    }

    /// The oldest offset kept.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// The offset of the next message.
    #[inline]
    pub(crate) fn tail(&self) -> u64 {
        self.tail + self.fresh.len() as u64
    }

    /// The offset after the last message that lies in a segment.
    #[inline]
    pub(crate) fn settled(&self) -> u64 {
        self.tail
    }

    /// How many messages are kept.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.tail() - self.head
    }

    /// Whether the open list has no place for a message of `bytes`.
    #[inline]
    pub(crate) fn is_fresh_full(&self, bytes: usize) -> bool {
        let count = self.fresh.len();
        count >= GATHERED.min(self.limits.messages)
            || (count > 0 && self.fresh_bytes + bytes > self.limits.bytes)
    }

    /// Keeps one message of `bytes` in the open list, and answers its offset.
    #[inline(always)]
    pub(crate) fn push_fresh(&mut self, message: Message, bytes: usize, at: Stamp) -> u64 {
        let offset = self.tail();
        if self.fresh.capacity() == 0 {
            self.fresh
                .reserve_exact(self.fresh_room.min(self.limits.messages));
        }
        self.fresh.push(Entry { message, at });
        self.fresh_bytes += bytes;
        offset
    }

    /// Puts the open list into segments; answers whether there was anything in it.
    #[inline]
    pub(crate) fn settle(&mut self) -> bool {
        let waiting = !self.fresh.is_empty();
        if waiting {
            self.settle_fresh();
        }
        waiting
    }

    fn settle_fresh(&mut self) {
        let bytes = std::mem::take(&mut self.fresh_bytes);
        let mut fresh = std::mem::take(&mut self.fresh);
        if fresh.len() >= WHOLE {
            self.fresh_room = fresh.len();
            if fresh.len() * 2 < fresh.capacity() {
                fresh.shrink_to_fit();
            }
            self.push(Segment::gathered(self.tail, fresh), bytes);
            return;
        }
        for entry in fresh.drain(..) {
            let bytes = entry.message.size();
            self.append_one(entry, bytes);
        }
        // The list is kept for the next ones.
        self.fresh = fresh;
    }

    /// Keeps `messages`, which have `bytes` in all, and answers the first one's offset.
    #[inline]
    pub(crate) fn append(&mut self, mut messages: Vec<Message>, bytes: usize, at: Stamp) -> u64 {
        debug_assert!(self.fresh.is_empty(), "what came before comes first");
        let first = self.tail;
        if messages.len() < WHOLE {
            for message in messages {
                let bytes = message.size();
                self.append_one(Entry { message, at }, bytes);
            }
            return first;
        }
        if messages.len() <= self.limits.messages && bytes <= self.limits.bytes {
            self.push(Segment::whole(self.tail, messages, at), bytes);
            return first;
        }
        while !messages.is_empty() {
            let mut piece = 0;
            let mut bytes = 0;
            for message in messages.iter().take(self.limits.messages) {
                if piece > 0 && bytes + message.size() > self.limits.bytes {
                    break;
                }
                piece += 1;
                bytes += message.size();
            }
            let rest = messages.split_off(piece);
            let piece = std::mem::replace(&mut messages, rest);
            self.push(Segment::whole(self.tail, piece, at), bytes);
        }
        first
    }

    /// Keeps one message of `bytes` in a segment.
    fn append_one(&mut self, entry: Entry, bytes: usize) {
        if let Some(last) = self.segments.back_mut()
            && (last.bytes == 0 || last.bytes + bytes <= self.limits.bytes)
            && let Some(slot) = last.segment.free_slot(self.tail)
        {
            slot.fill(entry);
            last.bytes += bytes;
            self.tail += 1;
        } else {
            self.open_with(entry, bytes);
        }
    }

    /// Keeps messages with ids of their own.
    pub(crate) fn append_named(&mut self, messages: Vec<Named>, at: Stamp) {
        let bytes = messages.iter().map(|named| named.message.size()).sum();
        if !messages.is_empty() {
            self.push(Segment::named(self.tail, messages, at), bytes);
        }
    }

    #[cold]
    fn open_with(&mut self, entry: Entry, bytes: usize) {
        if self
            .segments
            .back()
            .is_some_and(|last| last.segment.end() == self.tail)
        {
            self.room = (self.room * 2).min(LARGEST);
        }
        let segment = Segment::open(self.tail, self.room.min(self.limits.messages));
        if let Some(slot) = segment.free_slot(self.tail) {
            slot.fill(entry);
            self.push_used(segment, 1, bytes);
        }
    }

    fn push(&mut self, segment: Segment, bytes: usize) {
        let used = segment.room() as u64;
        self.push_used(segment, used, bytes);
    }

    fn push_used(&mut self, segment: Segment, used: u64, bytes: usize) {
        let segment = Arc::new(segment);
        if let Some(last) = self.segments.back() {
            if last.segment.end() > self.tail {
                // It was cut short: where single messages are rare, large open segments would stay empty.
                self.room = index(self.tail - last.segment.first())
                    .saturating_mul(2)
                    .clamp(SMALLEST, LARGEST);
            }
            last.segment.link(&segment);
        }
        self.segments.push_back(Kept { segment, bytes });
        self.tail += used;
    }

    /// The segment of `offset`, or the first one kept after it.
    pub(crate) fn find(&self, offset: u64) -> Option<Arc<Segment>> {
        debug_assert!(self.fresh.is_empty(), "what is in no segment can't be found");
        if offset >= self.tail {
            return None;
        }
        let at = self.segments.partition_point(|kept| kept.segment.end() <= offset);
        self.segments.get(at).map(|kept| kept.segment.clone())
    }

    /// Lets go of everything before `offset`.
    pub(crate) fn cut(&mut self, offset: u64) -> Cut {
        debug_assert!(self.fresh.is_empty(), "what is in no segment can't be let go of");
        let offset = offset.min(self.tail);
        let mut cut = Cut::default();
        while self.head < offset {
            let Some(first) = self.segments.front_mut() else {
                break;
            };
            let end = first.segment.end().min(self.tail);
            if end <= offset {
                cut.messages += end - self.head;
                cut.bytes += first.bytes;
                self.head = end;
                if let Some(kept) = self.segments.pop_front() {
                    kept.segment.close(end);
                    cut.segments.push(kept.segment);
                }
            } else {
                let bytes: usize = (self.head..offset)
                    .filter_map(|offset| first.segment.at(offset))
                    .map(Message::size)
                    .sum();
                first.bytes -= bytes;
                cut.messages += offset - self.head;
                cut.bytes += bytes;
                self.head = offset;
            }
        }
        cut
    }

    /// Lets go of the oldest messages before `limit`: of `wanted` messages or bytes, whichever is more, or of a whole
    /// segment where that is small beside what is kept.
    pub(crate) fn cut_some(&mut self, limit: u64, wanted: u64, wanted_bytes: usize) -> Cut {
        let Some(first) = self.segments.front() else {
            return Cut::default();
        };
        let end = first.segment.end().min(self.tail);
        if end <= limit && end - self.head <= self.limits.small as u64 {
            return self.cut(end);
        }
        if wanted_bytes == 0 {
            return self.cut(limit.min(self.head + wanted).min(end));
        }
        let mut bytes = 0;
        let upto = (self.head..limit.min(end))
            .find(|offset| {
                let enough = bytes >= wanted_bytes && offset - self.head >= wanted;
                bytes += first.segment.at(*offset).map_or(0, Message::size);
                enough
            })
            .unwrap_or(limit.min(end));
        self.cut(upto)
    }

    /// When the message at `offset` was stored, if it is kept.
    pub(crate) fn stamp_at(&self, offset: u64) -> Option<Stamp> {
        if !(self.head..self.tail).contains(&offset) {
            return None;
        }
        let at = self.segments.partition_point(|kept| kept.segment.end() <= offset);
        self.segments.get(at)?.segment.stamp_at(offset)
    }

    /// When the oldest message kept was stored.
    pub(crate) fn oldest(&self) -> Option<Stamp> {
        self.stamp_at(self.head)
    }

    /// When the newest message was stored.
    pub(crate) fn newest(&self) -> Option<Stamp> {
        self.stamp_at(self.tail.checked_sub(1)?)
    }

    /// The offset of the first message stored at `at` or later; the tail where there is none.
    pub(crate) fn first_since(&self, at: Stamp) -> u64 {
        self.segments
            .iter()
            .find_map(|kept| {
                let segment = &kept.segment;
                let from = segment.first().max(self.head);
                segment.first_since(at, from, segment.end().min(self.tail))
            })
            .unwrap_or(self.tail)
    }

    /// The offset of the message with an id of its own, if it is kept.
    pub(crate) fn offset_of(&self, id: &MessageId) -> Option<u64> {
        let offset = self.segments.iter().find_map(|kept| kept.segment.find_named(id));
        offset.filter(|offset| (self.head..self.tail).contains(offset))
    }

    /// The id of the message at `offset`, if it is kept.
    pub(crate) fn id_at(&self, offset: u64) -> Option<MessageId> {
        let segment = self.find(offset).filter(|segment| segment.first() <= offset)?;
        Some(segment.id_at(self.partition, offset))
    }
}
