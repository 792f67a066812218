//! How much a subscription reads ahead, learnt from how soon it is handled.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::{Deliveries, Lot};
use crate::values::Message;

/// Reading ahead pays where handling takes at least this share of the time that is waited for a read: else a read that
/// takes the acks along is quicker.
const AHEAD_SHARE: u32 = 4;

/// What was read at once is never more than is handled in about this time: nobody else of the group could have it.
const HANDLED_WITHIN: Duration = Duration::from_millis(20);

/// What is read at once grows up to about so many bytes.
const READ_BYTES: usize = 512 * 1024;

/// How much a subscription reads ahead, within bounds.
///
/// Where handling is quick, most of the time goes by with journeys to the server: larger reads make fewer of them.
#[derive(Debug)]
pub(super) struct Prefetch {
    bounds: RangeInclusive<usize>,
    /// Whether the next read may be under way while what the last one brought is handled.
    ahead: bool,
    /// The most deliveries unsettled at once.
    limit: usize,
    /// The most messages of one read; less than `limit` where the next read may be under way while they are handled.
    most: usize,
    /// Whether the last read brought as many as it could: there may be more.
    plenty: bool,
    /// Whether handling takes so long that the next read had better be under way meanwhile.
    pays: bool,
    /// When the last batch was handed out, where reading ahead is possible.
    handed_out: Option<Instant>,
    /// When the next one was first waited for, in the same case, and whether all before it was done.
    asked: Option<(Instant, bool)>,
}

impl Prefetch {
    /// Within `bounds`; `ahead` where reading ahead is possible.
    pub(super) fn new(bounds: RangeInclusive<usize>, ahead: bool) -> Self {
        let mut prefetch = Self {
            ahead,
            limit: 0,
            most: 0,
            plenty: false,
            pays: true,
            handed_out: None,
            asked: None,
            bounds,
        };
        prefetch.begin();
        prefetch
    }

    /// The most deliveries unsettled at once.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The most messages of one read.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether the last read brought as many as it could.
    pub(super) fn found_plenty(&self) -> bool {
        self.plenty
    }

    /// Whether the next read had better be under way while the last one's messages are handled. Only when that found
    /// plenty: else the acks had better travel along.
    #[inline]
    pub(super) fn is_ahead(&self) -> bool {
        self.plenty && self.pays
    }

    /// More is wanted, first of all since the last was handed out; `held` of that are not done.
    #[inline]
    pub(super) fn wanted(&mut self, held: impl FnOnce() -> usize) {
        if self.plenty && self.asked.is_none() {
            self.asked = Some((Instant::now(), held() == 0));
        }
    }

    /// These are handed out.
    pub(super) fn brought(&mut self, deliveries: &Deliveries) {
        self.plenty = self.ahead && deliveries.len() >= self.most;
        if self.plenty {
            self.weigh(deliveries);
        } else {
            (self.handed_out, self.asked) = (None, None);
            // What comes after a lull may be another kind of work.
            self.begin();
        }
    }

    /// Learns from how long handling took and how long was waited for the read.
    fn weigh(&mut self, deliveries: &Deliveries) {
        let now = Instant::now();
        if let (Some(handed_out), Some((asked, done))) = (self.handed_out, self.asked.take()) {
            let handling = asked.saturating_duration_since(handed_out);
            let waiting = now.saturating_duration_since(asked);
            self.pays = handling * AHEAD_SHARE >= waiting;
            if self.bounds.start() < self.bounds.end() {
                self.resize(handling, waiting, done, deliveries);
            }
        }
        self.handed_out = Some(now);
    }

    fn resize(&mut self, handling: Duration, waiting: Duration, done: bool, deliveries: &Deliveries) {
        let bytes: usize = deliveries.lots().iter().map(bytes_of).sum();
        let slow = handling > waiting || handling > HANDLED_WITHIN;
        if bytes > READ_BYTES || slow {
            self.begin();
        } else if done && !self.pays && bytes * 2 <= READ_BYTES {
            // Acks of a whole read stay below the limit: at that they would leave on their own, ahead of the next read.
            self.most = (self.most * 2).min(self.bounds.end().div_ceil(2)).max(self.most);
            self.limit = (self.limit * 2).min(*self.bounds.end());
        }
    }

    fn begin(&mut self) {
        self.limit = *self.bounds.start();
        self.most = match self.ahead {
            true => self.limit.div_ceil(2),
            false => self.limit,
        };
        // One that holds a single message has no other half to read ahead.
        self.ahead &= self.most < self.limit;
    }
}

fn bytes_of(lot: &Lot) -> usize {
    let messages = (0..lot.len()).filter_map(|index| lot.message(index));
    messages.map(Message::size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{MessageId, Receipt};

    const ROUND_TRIP: Duration = Duration::from_millis(1);

    fn messages(count: usize, size: usize) -> Deliveries {
        let one = |_| (MessageId::Text("1".into()), Message::new(vec![0; size]));
        Deliveries::each((0..count).map(one).collect(), vec![Receipt::default(); count])
    }

    /// Reads as much as it may, so often, each time handled for so long; `held` of it are not done then.
    async fn read(prefetch: &mut Prefetch, times: usize, handling: Duration, held: usize, size: usize) {
        for _ in 0..times {
            prefetch.wanted(|| held);
            tokio::time::advance(ROUND_TRIP).await;
            prefetch.brought(&messages(prefetch.most(), size));
            tokio::time::advance(handling).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_within_its_bounds_while_handling_takes_next_to_no_time() {
        let mut prefetch = Prefetch::new(256..=1000, true);
        assert_eq!((prefetch.most(), prefetch.limit()), (128, 256));
        read(&mut prefetch, 2, Duration::ZERO, 0, 100).await;
        assert_eq!((prefetch.most(), prefetch.limit()), (256, 512));
        read(&mut prefetch, 9, Duration::ZERO, 0, 100).await;
        assert_eq!((prefetch.most(), prefetch.limit()), (500, 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_takes_its_time_or_holds_on_to_messages_or_gets_large_ones_has_the_least() {
        let quick = Duration::ZERO;
        for (handling, held, size) in [(ROUND_TRIP * 2, 0, 100), (quick, 1, 100), (quick, 0, 8192)] {
            let mut prefetch = Prefetch::new(256..=1000, true);
            read(&mut prefetch, 9, handling, held, size).await;
            assert_eq!((prefetch.most(), prefetch.limit()), (128, 256));
        }
        let mut prefetch = Prefetch::new(256..=1000, true);
        read(&mut prefetch, 9, quick, 0, 100).await;
        read(&mut prefetch, 2, ROUND_TRIP * 2, 0, 100).await;
        assert_eq!((prefetch.most(), prefetch.limit()), (128, 256), "it falls back");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_fixed_or_has_nowhere_to_go_stays_as_it_is() {
        for (bounds, ahead, most) in [(256..=256, true, 128), (256..=1000, false, 256), (1..=1, true, 1)] {
            let limit = *bounds.start();
            let mut prefetch = Prefetch::new(bounds, ahead);
            read(&mut prefetch, 9, Duration::ZERO, 0, 100).await;
            assert_eq!((prefetch.most(), prefetch.limit()), (most, limit));
        }
    }
}
