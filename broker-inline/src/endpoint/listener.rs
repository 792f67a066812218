//! An independent reader.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_core::base::{BoxFuture, Deliveries, ListenRequest, Lot, ReadEndpoint, Source};
use broker_core::{BrokerEvent, Capabilities, Receipt, ReceiptRun, Result, StartPosition};
use broker_window::Moment;

use crate::clock::Stamp;
use crate::gate::Gate;
use crate::hub::PatternListener;
use crate::log::{Cursor, Feed};
use crate::number::run_length;
use crate::session::Session;
use crate::stream::Stream;
use crate::sync::Mutex;

/// An independent reader: places in logs, and nothing else. What it is too slow for, it misses and tells.
pub(crate) struct Listener {
    session: Arc<Session>,
    gate: Arc<Gate>,
    /// Streams that match, found since the last read.
    pattern: Option<Arc<PatternListener>>,
    spots: Mutex<Spots>,
}

#[derive(Default)]
struct Spots {
    all: Vec<Spot>,
    turn: usize,
}

/// A place in one partition's log.
struct Spot {
    stream: Arc<Stream>,
    partition: usize,
    next: u64,
    cursor: Cursor,
    /// When the last message before `next` was stored.
    seen: SystemTime,
}

impl Listener {
    pub(crate) fn new(session: Arc<Session>, request: &ListenRequest) -> Result<Self> {
        session.check(Capabilities::SUBSCRIBE)?;
        session.check_start(&request.start)?;
        let gate = Arc::new(Gate::new());
        let mut spots = Spots::default();
        // Without REPLAY there is no history to start in.
        let start = match &request.start {
            StartPosition::Earliest if !session.has(Capabilities::REPLAY) => &StartPosition::Latest,
            start => start,
        };
        let pattern = match &request.source {
            Source::Stream(name) => {
                let stream = session.hub.stream(name)?;
                stream.listen(&gate);
                spots.add(&stream, start)?;
                None
            }
            Source::Pattern(pattern) => {
                session.check(Capabilities::PATTERN_SUBSCRIPTION)?;
                let listener = Arc::new(PatternListener {
                    pattern: pattern.clone(),
                    gate: gate.clone(),
                    found: Mutex::new(Vec::new()),
                });
                for stream in session.hub.listen(&listener) {
                    spots.add(&stream, start)?;
                }
                Some(listener)
            }
        };
        Ok(Self {
            session,
            gate,
            pattern,
            spots: Mutex::new(spots),
        })
    }

    fn attempt(&self, max: usize) -> Option<Result<Deliveries>> {
        if let Err(error) = self.session.check(Capabilities::SUBSCRIBE) {
            return Some(Err(error));
        }
        if max == 0 {
            return Some(Ok(Deliveries::new()));
        }
        let mut spots = self.spots.lock();
        if let Some(pattern) = &self.pattern {
            let found = std::mem::take(&mut *pattern.found.lock());
            for stream in found {
                // Made after this listener: all that it has is new.
                if let Err(error) = spots.add(&stream, &StartPosition::Earliest) {
                    return Some(Err(error));
                }
            }
        }
        let now = self.session.hub.clock.now();
        let mut out = Deliveries::new();
        let mut left = max as u64;
        let count = spots.all.len();
        spots.turn = spots.turn.wrapping_add(1);
        let turn = spots.turn;
        for by in 0..count {
            if left == 0 {
                break;
            }
            if let Some(spot) = spots.all.get_mut(turn.wrapping_add(by) % count) {
                spot.stream.admit(now);
                left -= spot.read(left, self.pattern.is_some(), &mut out);
            }
        }
        (!out.is_empty()).then_some(Ok(out))
    }

    fn meet_publishers(&self) {
        let spots = self.spots.lock();
        spots.all.iter().for_each(|spot| spot.stream.meet_publishers());
    }

    fn due(&self) -> Moment {
        let spots = self.spots.lock();
        spots
            .all
            .iter()
            .map(|spot| spot.stream.delayed_due())
            .min()
            .unwrap_or(Moment::NEVER)
    }
}

impl Spots {
    fn add(&mut self, stream: &Arc<Stream>, start: &StartPosition) -> Result<()> {
        for partition in 0..stream.partitions() {
            self.all.push(Spot {
                next: stream.resolve(partition, start)?,
                stream: stream.clone(),
                partition,
                cursor: Cursor::default(),
                seen: SystemTime::now(),
            });
        }
        Ok(())
    }
}

impl Spot {
    /// Hands out up to `want` messages; answers how many.
    fn read(&mut self, want: u64, named: bool, out: &mut Deliveries) -> u64 {
        let stream = self.stream.clone();
        stream.with_feed(self.partition, |feed| self.read_from(feed, want, named, out))
    }

    fn read_from(&mut self, feed: &Feed<'_>, want: u64, named: bool, out: &mut Deliveries) -> u64 {
        let mut left = want;
        loop {
            let tail = feed.reach(self.next);
            let count = left.min(tail.saturating_sub(self.next));
            if count == 0 {
                return want - left;
            }
            let segment = self.cursor.seek(self.next, feed).cloned();
            let Some(segment) = segment.filter(|segment| segment.first() <= self.next) else {
                let kept = (feed.find)(self.next);
                self.miss(kept.map_or(tail, |segment| segment.first()));
                continue;
            };
            let count = count.min(segment.end() - self.next).min(u64::from(u32::MAX));
            let first = Receipt {
                partition: feed.partition,
                attempt: 1,
                sequence: self.next,
                ..Receipt::default()
            };
            let run = ReceiptRun {
                first,
                len: run_length(count),
            };
            self.next += count;
            left -= count;
            if let Some(at) = segment.stamp_at(self.next - 1) {
                self.seen = at.into();
            }
            let place = segment.place(first.sequence);
            let mut lot = Lot::run(segment, place, run);
            lot.stream = named.then(|| self.stream.name.clone());
            out.push(lot);
        }
    }

    /// Goes on after what was removed before it was read.
    fn miss(&mut self, next: u64) {
        let now = SystemTime::from(Stamp::now());
        self.stream.tell(&BrokerEvent::Gap {
            stream: self.stream.name.clone(),
            since: self.seen,
            lasted: now.duration_since(self.seen).unwrap_or_default(),
        });
        self.next = next.max(self.next);
        self.cursor.reset();
    }
}

impl ReadEndpoint for Listener {
    fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        self.attempt(max)
    }

    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(async move {
            self.session.check_wait(wait)?;
            if let Some(read) = self.attempt(max) {
                return read;
            }
            if wait.is_zero() {
                return Ok(Deliveries::new());
            }
            let clock = &self.session.hub.clock;
            let until = clock.now().after(wait);
            let read = self
                .gate
                .wait(
                    clock,
                    until,
                    || {
                        self.meet_publishers();
                        self.attempt(max)
                    },
                    || self.due(),
                )
                .await;
            read.unwrap_or_else(|| Ok(Deliveries::new()))
        })
    }

    fn settles(&self) -> bool {
        false
    }
}
