//! Dead letters on their way back to their group.

use std::sync::Arc;

use broker_core::{DeadLetter, Error, ErrorKind, Message, Result};

use super::progress::Progress;
use crate::clock::Stamp;
use crate::log::Feed;
use crate::log::{Log, SegmentLimits};
use crate::log::{Named, Segment};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// The number of the partition that replayed messages are in: no stream has so many.
pub(crate) const PARTITION: u32 = u32::MAX;
/// The header that tells which entry a replayed message was.
const HEADER: &str = "replayed-from";

/// A log that only one group reads: what comes back from its dead letters concerns no other group.
#[derive(Debug)]
pub(crate) struct Replayed {
    log: Mutex<Log>,
    tail: AtomicU64,
    pub(crate) progress: Progress,
    most: usize,
}

impl Replayed {
    pub(crate) fn new(max_unsettled: usize, most: usize, limits: SegmentLimits) -> Self {
        Self {
            log: Mutex::new(Log::new(PARTITION, limits)),
            tail: AtomicU64::new(0),
            progress: Progress::new(0, max_unsettled),
            most,
        }
    }

    /// Appends `letters`, oldest first; their attempts start anew. Hands them back where there is no room.
    pub(crate) fn append(&self, letters: Vec<DeadLetter>) -> Result<(), (Vec<DeadLetter>, Error)> {
        let mut log = self.log.lock();
        let cut = log.cut(self.progress.low());
        let waiting = crate::number::index(log.len());
        if waiting + letters.len() > self.most {
            let error = Error::new(
                ErrorKind::Throttled,
                format!(
                    "{waiting} replayed messages are not settled yet; at most {} may be (max_dead_letters); replay fewer",
                    self.most
                ),
            );
            return Err((letters, error));
        }
        let named = letters.into_iter().map(named).collect();
        log.append_named(named, Stamp::now());
        self.tail.store(log.tail(), Ordering::Release);
        drop(log);
        drop(cut);
        Ok(())
    }

    pub(crate) fn with_feed<R>(&self, work: impl FnOnce(&Feed<'_>) -> R) -> R {
        work(&Feed {
            partition: PARTITION,
            newest: &self.tail,
            settled: &self.tail,
            find: &|offset| self.find(offset),
        })
    }

    pub(crate) fn find(&self, offset: u64) -> Option<Arc<Segment>> {
        self.log.lock().find(offset)
    }

    /// How many were never handed out.
    pub(crate) fn lag(&self, next: u64) -> u64 {
        self.tail.load(Ordering::Acquire).saturating_sub(next)
    }

    /// Lets go of what is settled.
    pub(crate) fn clean(&self) {
        let cut = self.log.lock().cut(self.progress.low());
        drop(cut);
    }

    /// What was handed out and not settled is to be handed out again, by receipts of a new generation.
    pub(crate) fn rewind(&self) {
        let mut inner = self.progress.lock();
        let low = inner.window.low();
        inner.restart(low);
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        let mut inner = self.progress.lock();
        let mut log = self.log.lock();
        let tail = log.tail();
        let cut = log.cut(tail);
        inner.restart(tail);
        self.progress.publish_low(&inner);
        drop(log);
        drop(inner);
        drop(cut);
    }
}

fn named(letter: DeadLetter) -> Named {
    let mut message: Message = letter.message;
    message.headers_mut().insert(HEADER, letter.id.to_string());
    Named {
        id: letter.original_id,
        partition: letter.partition,
        message,
    }
}
