//! Messages that are kept beside their window until they are settled.

use std::collections::VecDeque;
use std::sync::Arc;

use broker_core::base::MessageStore;
use broker_core::{Message, Receipt};

use crate::{Tag, Window};

/// Neighbouring messages that came in together, as an adapter keeps them.
pub trait Chunk: MessageStore + 'static {
    /// How often the message at `index` was handed out before its window knew of it.
    fn before(&self, index: usize) -> u32;
}

/// Messages that are kept beside their [`Window`] until they are settled, in the chunks that they came in.
///
/// A chunk goes once all of its messages are settled.
#[derive(Debug)]
pub struct Kept<C>(VecDeque<Run<C>>);

#[derive(Debug)]
struct Run<C> {
    first: u64,
    len: u64,
    /// How many of them are not settled.
    left: u64,
    /// Gone once they all are.
    chunk: Option<Arc<C>>,
}

/// Messages that were never handed out.
#[derive(Debug)]
pub struct New<C> {
    /// What they lie in.
    pub chunk: Arc<C>,
    /// Where the first of them lies in it.
    pub index: usize,
    /// The offset of the first.
    pub first: u64,
    /// Where they end: with their chunk, or with the window.
    pub until: u64,
}

impl<C> Default for Kept<C> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<C> Kept<C> {
    /// Keeps `len` messages from `first` on, of which `left` are not settled. They come in order.
    pub fn keep(&mut self, first: u64, len: u64, left: u64, chunk: Arc<C>) {
        if left > 0 {
            let chunk = Some(chunk);
            self.0.push_back(Run {
                first,
                len,
                left,
                chunk,
            });
        }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The chunks with messages that are not settled, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &Arc<C>> {
        self.0.iter().filter_map(|run| run.chunk.as_ref())
    }

    /// How many messages were never handed out.
    pub fn unread(&self, window: &Window) -> u64 {
        let unread = |run: &Run<C>| run.end().saturating_sub(run.first.max(window.next()));
        self.0.iter().map(unread).sum()
    }

    /// Where the message lies, if it is kept.
    pub fn find(&self, offset: u64) -> Option<(&Arc<C>, usize)> {
        let run = self.0.get(self.at(offset))?;
        (run.first <= offset).then_some(())?;
        Some((run.chunk.as_ref()?, place(offset - run.first)))
    }

    /// The next messages that were never handed out and fit into the window.
    pub fn next_new(&self, window: &Window) -> Option<New<C>> {
        let run = self.0.get(self.at(window.next()))?;
        let first = run.first.max(window.next());
        let until = run.end().min(window.end());
        (first < until).then_some(())?;
        Some(New {
            chunk: Arc::clone(run.chunk.as_ref()?),
            index: place(first - run.first),
            first,
            until,
        })
    }

    /// Settled are `count` messages from `first` on. Tells `freed` each chunk that goes with them.
    pub fn release(&mut self, first: u64, count: u64, mut freed: impl FnMut(&C)) {
        let end = first.saturating_add(count);
        let mut at = self.at(first);
        while let Some(run) = self.0.get_mut(at).filter(|run| run.first < end) {
            let settled = run.end().min(end) - run.first.max(first);
            run.left = run.left.saturating_sub(settled);
            if run.left == 0
                && let Some(chunk) = run.chunk.take()
            {
                freed(&chunk);
            }
            at += 1;
        }
        while self.0.front().is_some_and(|run| run.chunk.is_none()) {
            self.0.pop_front();
        }
    }

    /// The first run that does not end before the offset.
    fn at(&self, offset: u64) -> usize {
        self.0.partition_point(|run| run.end() <= offset)
    }
}

impl<C: Chunk> Kept<C> {
    /// The delivery that a receipt names, as the window knows it.
    pub fn tag(&self, receipt: &Receipt) -> Tag {
        let found = self.find(receipt.sequence);
        Tag::of(receipt, found.map_or(0, |(chunk, index)| chunk.before(index)))
    }

    /// Keeps order by key from now on.
    pub fn lay_lanes(&self, window: &mut Window) {
        window.mind_keys();
        let unsettled: Vec<_> = window.unsettled().map(|(offset, _)| offset).collect();
        for offset in unsettled {
            if let Some((chunk, index)) = self.find(offset) {
                let key = chunk.message(index).and_then(Message::message_key);
                window.enter_lane(offset, key);
            }
        }
    }
}

impl<C> Run<C> {
    fn end(&self) -> u64 {
        self.first + self.len
    }
}

fn place(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
