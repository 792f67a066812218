//! A window as the text that travels with a commit.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_window::{Tag, Who, Window};

/// The longest that a window gets, in offsets: two bits for each of them still fit into a commit's metadata.
pub(crate) const SPAN: u64 = 8192;

/// How many messages of a window may be beyond their first delivery: the number of each is written out.
pub(crate) const REPEATS: u64 = 320;

/// The highest number of deliveries that is told apart: it bounds what one of them takes to write.
const MOST: u32 = 0xffff;

/// What every text begins with; another client's metadata does not.
const MARK: &str = "b1.";

/// Offsets that follow on one another and share their fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// How many.
    pub(crate) len: u64,
    /// How often each was delivered; `None` where they are settled.
    pub(crate) delivered: Option<u32>,
}

/// What is known of the offsets from the committed one on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Rises with each owner of the partition.
    pub(crate) generation: u64,
    /// From the committed offset to the first one that was never looked at.
    pub(crate) runs: Vec<Run>,
}

impl Progress {
    /// What a commit at the window's low end has to tell.
    pub(crate) fn of(window: &Window, generation: u64) -> Self {
        Self::once_done(window, generation, &BTreeSet::new()).1
    }

    /// Position and text of a commit by which the offsets in `done` are settled as well.
    pub(crate) fn once_done(window: &Window, generation: u64, done: &BTreeSet<u64>) -> (u64, Self) {
        let mut progress = Self {
            generation,
            runs: Vec::new(),
        };
        let mut low = window.low();
        for (offset, slot) in (window.low()..).zip(window.slots()) {
            let settled = slot.tag.who() == Who::SETTLED || done.contains(&offset);
            if settled && low == offset {
                low = offset + 1;
            } else {
                progress.push(1, (!settled).then(|| slot.tag.delivered()));
            }
        }
        (low, progress)
    }

    /// Appends offsets, to the last run where they share its fate.
    pub(crate) fn push(&mut self, len: u64, delivered: Option<u32>) {
        let delivered = delivered.map(|count| count.min(MOST));
        match self.runs.last_mut() {
            Some(last) if last.delivered == delivered => last.len += len,
            _ => self.runs.push(Run { len, delivered }),
        }
    }

    /// How many offsets it covers.
    pub(crate) fn span(&self) -> u64 {
        self.runs.iter().map(|run| run.len).sum()
    }

    /// How many messages it has that were handed out, or passed over, and are not settled.
    pub(crate) fn unsettled(&self) -> u64 {
        let unsettled = self.runs.iter().filter(|run| run.delivered.is_some());
        unsettled.map(|run| run.len).sum()
    }

    /// How many messages it has that were handed out and are not settled.
    pub(crate) fn pending(&self) -> u64 {
        let out = self
            .runs
            .iter()
            .filter(|run| run.delivered.is_some_and(|count| count > 0));
        out.map(|run| run.len).sum()
    }

    /// The text: at most 4096 bytes for a window within [`SPAN`] and [`REPEATS`].
    pub(crate) fn to_text(&self) -> String {
        let (runs, bits) = (self.as_runs(), self.as_bits());
        let body = if runs.len() <= bits.len() { runs } else { bits };
        format!("{MARK}{}", URL_SAFE_NO_PAD.encode(body))
    }

    /// Reads what [`to_text`](Self::to_text) wrote; `None` where it is somebody else's text.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(MARK)?).ok()?;
        let mut bytes = bytes.as_slice();
        let (form, generation, count) = (take(&mut bytes)?, take(&mut bytes)?, take(&mut bytes)?);
        let mut states = Vec::new();
        match form {
            0 => {
                for _ in 0..count {
                    let packed = take(&mut bytes)?;
                    states.push((packed >> 2, packed & 3));
                }
            }
            1 => {
                let packed = bytes.split_off(..usize::try_from(count.div_ceil(4)).ok()?)?;
                for index in 0..count {
                    let byte = packed.get(usize::try_from(index / 4).ok()?)?;
                    states.push((1, u64::from(byte >> (index % 4 * 2) & 3)));
                }
            }
            _ => return None,
        }
        let mut progress = Self {
            generation,
            runs: Vec::new(),
        };
        for (len, state) in states {
            match state {
                0 => progress.push(len, None),
                3 => {
                    for _ in 0..len.min(SPAN) {
                        progress.push(1, Some(u32::try_from(take(&mut bytes)?).ok()?));
                    }
                }
                once => progress.push(len, u32::try_from(once - 1).ok()),
            }
            if progress.span() > SPAN {
                return None;
            }
        }
        Some(progress)
    }

    /// Few runs: one number each.
    fn as_runs(&self) -> Vec<u8> {
        let mut states: Vec<(u64, u64)> = Vec::new();
        for run in &self.runs {
            let state = state(run);
            match states.last_mut() {
                Some((len, last)) if *last == state => *len += run.len,
                _ => states.push((run.len, state)),
            }
        }
        let mut bytes = Vec::new();
        put(&mut bytes, 0);
        put(&mut bytes, self.generation);
        put(&mut bytes, states.len() as u64);
        for (len, state) in states {
            put(&mut bytes, len << 2 | state);
        }
        self.put_repeats(&mut bytes);
        bytes
    }

    /// Many runs: two bits for each offset.
    fn as_bits(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, 1);
        put(&mut bytes, self.generation);
        put(&mut bytes, self.span());
        let (mut byte, mut filled) = (0_u8, 0);
        for run in &self.runs {
            let state = u8::try_from(state(run)).unwrap_or(0);
            for _ in 0..run.len {
                byte |= state << filled;
                filled += 2;
                if filled == 8 {
                    bytes.push(byte);
                    (byte, filled) = (0, 0);
                }
            }
        }
        if filled > 0 {
            bytes.push(byte);
        }
        self.put_repeats(&mut bytes);
        bytes
    }

    fn put_repeats(&self, bytes: &mut Vec<u8>) {
        for run in &self.runs {
            if let Some(count) = run.delivered.filter(|count| *count > 1) {
                for _ in 0..run.len {
                    put(bytes, u64::from(count));
                }
            }
        }
    }
}

/// Whether failing messages wait for each other, because a commit has no room for more of them.
pub(crate) fn is_crowded(window: &Window) -> bool {
    window.repeats() >= REPEATS
}

/// Whether one more delivery of the message can still be written into a commit.
pub(crate) fn may_repeat(window: &Window, offset: u64) -> bool {
    let repeats = |tag: Tag| tag.attempt() > 1 || tag.next(Who::NOBODY).attempt() <= 1;
    !is_crowded(window) || window.get(offset).is_some_and(|slot| repeats(slot.tag))
}

/// Settled, never delivered, delivered once, or more often.
fn state(run: &Run) -> u64 {
    match run.delivered {
        None => 0,
        Some(count) => u64::from(count.min(2)) + 1,
    }
}

/// Appends a number, seven bits a byte.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

/// Takes a number off the front.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_window::{Moment, Purpose};
    use proptest::prelude::*;

    /// The server's default bound, `offset.metadata.max.bytes`.
    const LIMIT: usize = 4096;

    fn of(fates: &[Option<u32>], generation: u64) -> Progress {
        let mut progress = Progress {
            generation,
            runs: Vec::new(),
        };
        for fate in fates {
            progress.push(1, *fate);
        }
        progress
    }

    proptest! {
        // Each case is thousands of offsets.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_window_survives_its_text(
            fates in proptest::collection::vec(proptest::option::of(0_u32..300), 0..600), generation: u64,
        ) {
            let progress = of(&fates, generation);
            prop_assert_eq!(Progress::from_text(&progress.to_text()), Some(progress));
        }

        #[test]
        fn the_worst_window_fits_into_a_commit(
            mut fates in proptest::collection::vec(proptest::option::of(0_u32..2), 8192), generation: u64,
            repeats in proptest::collection::btree_map(0_usize..8192, 2_u32.., 0..=usize::try_from(REPEATS).unwrap()),
        ) {
            for (place, count) in repeats {
                fates[place] = Some(count);
            }
            let text = of(&fates, generation).to_text();
            prop_assert!(text.len() <= LIMIT, "{} bytes", text.len());
        }

        #[test]
        fn no_text_panics(text: String, body: Vec<u8>) {
            let _ = Progress::from_text(&text);
            let _ = Progress::from_text(&format!("{MARK}{}", URL_SAFE_NO_PAD.encode(body)));
        }
    }

    proptest! {
        #[test]
        fn what_is_foreseen_is_what_comes(
            count in 1_u64..100, first in proptest::collection::btree_set(0_u64..100, 0..50),
            then in proptest::collection::btree_set(0_u64..100, 0..50),
        ) {
            let mut window = Window::new(0, SPAN);
            let who = Who::member(0).unwrap();
            let tag = window.hand_out(count, who, Moment(1), Moment(9));
            let settle = |window: &mut Window, offsets: &BTreeSet<u64>| {
                for offset in offsets {
                    if window.check(*offset, tag, who, Moment(1)).is_ok() {
                        window.settle(*offset, Purpose::Done, Moment(1));
                    }
                }
            };
            settle(&mut window, &first);
            let foreseen = Progress::once_done(&window, 3, &then);
            settle(&mut window, &then);
            prop_assert_eq!(foreseen, (window.low(), Progress::of(&window, 3)));
        }
    }

    #[test]
    fn the_usual_window_is_short() {
        let mut progress = Progress::default();
        progress.push(1, Some(1));
        progress.push(5000, None);
        progress.push(100, Some(1));
        assert!(progress.to_text().len() < 20, "{}", progress.to_text());
    }
}
