//! What a group knows of its log, as the text of its token.

use broker_window::{Who, Window};
use serde::{Deserialize, Serialize};

use crate::settle::millis;

/// How far the newest message that is looked at may be ahead of the oldest that is not settled: it bounds a token's text.
const SPAN: u64 = 16_384;

/// What a group knows of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Rises with each owner of the group.
    pub(super) generation: u64,
    /// Rises with each token of one owner.
    pub(super) sequence: u64,
    /// Which owner it was, in whatever process.
    pub(super) owner: u64,
    /// The oldest offset that is not settled.
    pub(super) low: u64,
    /// Whether the group was just put there, so that what is missing before the first message was never owed to it.
    pub(super) is_fresh: bool,
    /// From `low` to the first offset that was never looked at: how many share a fate, and how often each of them was
    /// delivered, where they are not settled.
    pub(super) runs: Vec<(u64, Option<u32>)>,
    /// When messages that are not settled failed for the first time, in ms since 1970, by offset.
    pub(super) failed: Vec<(u64, u64)>,
}

impl Progress {
    /// That of a group that begins at `low`.
    pub(super) fn starting(low: u64) -> Self {
        Self {
            // So that it is told from one of a group of the same name that was removed.
            owner: fastrand::u64(1..),
            low,
            is_fresh: true,
            ..Self::default()
        }
    }

    /// What a window knows.
    pub(super) fn of(window: &Window) -> Self {
        let mut progress = Self {
            low: window.low(),
            ..Self::default()
        };
        for (offset, slot) in (window.low()..).zip(window.slots()) {
            let settled = slot.tag.who() == Who::SETTLED;
            progress.push(1, (!settled).then(|| slot.tag.delivered()));
            if let Some(failed) = window.first_failed(offset) {
                progress.failed.push((offset, millis(failed)));
            }
        }
        progress
    }

    fn push(&mut self, len: u64, fate: Option<u32>) {
        match self.runs.last_mut() {
            Some((known, last)) if *last == fate => *known += len,
            _ => self.runs.push((len, fate)),
        }
    }

    /// The window that goes on from there; what was not settled is inherited.
    pub(super) fn to_window(&self) -> Window {
        let mut window = Window::new(self.low, SPAN);
        for (len, fate) in &self.runs {
            let len = (*len).min(window.room());
            match fate {
                None => window.pass_to(window.next() + len),
                Some(delivered) => window.inherit(len, *delivered),
            }
        }
        window
    }

    /// Tells this token from all others of its group.
    pub(super) fn name(&self) -> (u64, u64, u64) {
        (self.owner, self.generation, self.sequence)
    }

    /// Whether it tells more than `other`.
    pub(super) fn is_later(&self, other: &Self) -> bool {
        (self.generation, self.sequence) > (other.generation, other.sequence)
    }

    /// The first offset that was never looked at.
    pub(super) fn next(&self) -> u64 {
        self.low + self.runs.iter().map(|(len, _)| len).sum::<u64>()
    }

    /// How many messages were handed out and are not settled, and how many were passed over.
    pub(super) fn unsettled(&self) -> (u64, u64) {
        let count = |wanted: fn(u32) -> bool| {
            let runs = self.runs.iter();
            let runs = runs.filter(|(_, fate)| fate.is_some_and(wanted));
            runs.map(|(len, _)| len).sum()
        };
        (
            count(|delivered| delivered > 0),
            count(|delivered| delivered == 0),
        )
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was written; `None` for another program's text.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    use broker_window::{Moment, Purpose};

    #[test]
    fn a_window_goes_on_from_its_text_with_what_was_settled_delivered_and_failed() {
        let (who, mut window) = (Who::member(0).unwrap(), Window::new(7, SPAN));
        let tag = window.hand_out(6, who, Moment(1), Moment(9));
        for offset in [7, 9] {
            assert!(window.check(offset, tag, who, Moment(1)).is_ok());
            window.settle(offset, Purpose::Done, Moment(1));
        }
        let failed = SystemTime::UNIX_EPOCH + Duration::from_millis(5);
        window.settle(10, Purpose::Requeue(Moment(1), failed), Moment(1));
        window.hand_out_again(10, who, Moment(9));
        window.settle(11, Purpose::GiveBack, Moment(1));
        window.park();
        let progress = Progress::of(&window);
        assert_eq!((progress.low, progress.next()), (8, 14));
        let runs = [
            (1, Some(1)),
            (1, None),
            (1, Some(2)),
            (1, Some(0)),
            (1, Some(1)),
            (1, Some(0)),
        ];
        assert_eq!(progress.runs, runs);
        assert_eq!(progress.failed, [(10, 5)]);
        assert_eq!(progress.unsettled(), (3, 2));
        let back = Progress::from_text(progress.to_text().as_bytes()).unwrap();
        assert_eq!(back, progress);
        let window = back.to_window();
        assert_eq!((window.low(), window.next(), window.pending()), (8, 14, 5));
        assert!(window.is_settled(9) && !window.is_settled(8));
        assert_eq!(Progress::from_text(b"{"), None);
    }

    #[test]
    fn the_worst_token_is_still_small() {
        let mut progress = Progress::starting(1 << 40);
        for _ in 0..SPAN / 2 {
            progress.push(1, Some(1));
            progress.push(1, None);
        }
        assert!(progress.to_text().len() < 200_000, "{}", progress.to_text().len());
    }
}
