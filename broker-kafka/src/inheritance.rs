//! What an earlier owner of a partition left unsettled, until it has come in again.

use broker_window::{Who, Window};

use crate::progress::{Progress, SPAN};

#[cfg(test)]
mod tests;

/// What an earlier owner of a partition left unsettled, until it has come in again.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Before it, messages of the earlier owner have come in again, or are gone.
    arrived: u64,
    /// The first offset that the earlier owner had not looked at.
    end: u64,
}

/// What is to be done with a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It was settled before: it is not kept.
    Done,
    /// An earlier owner had it in hand: it is to be handed out again, which whoever asked has to see to.
    Again,
    /// It is new.
    New,
}

impl Inheritance {
    /// What a commit at `start` tells of, and the window that begins with it.
    pub(crate) fn open(start: u64, progress: Option<&Progress>) -> (Self, Window) {
        let mut window = Window::new(start, SPAN);
        for run in progress.iter().flat_map(|progress| &progress.runs) {
            match run.delivered {
                None => window.pass_to(window.next() + run.len),
                Some(delivered) => window.inherit(run.len, delivered),
            }
        }
        let inheritance = Self {
            arrived: start,
            end: window.next(),
        };
        (inheritance, window)
    }

    /// A message came in; those must come in order. Answers how many of the earlier owner's it shows to be gone.
    pub(crate) fn arrive(&mut self, window: &mut Window, offset: u64) -> (Arrival, u64) {
        if offset >= self.end && self.arrived >= self.end {
            return (Arrival::New, 0);
        }
        let is_inherited = |window: &Window, offset| {
            window
                .get(offset)
                .is_some_and(|slot| slot.tag.who() == Who::INHERITED)
        };
        let mut gone = 0;
        for missing in self.arrived.max(window.low())..offset.min(self.end) {
            if is_inherited(window, missing) {
                gone += 1;
                window.lose(missing);
            }
        }
        self.arrived = self.arrived.max(offset.saturating_add(1));
        let arrival = if offset >= self.end {
            Arrival::New
        } else if is_inherited(window, offset) {
            Arrival::Again
        } else {
            Arrival::Done
        };
        (arrival, gone)
    }
}
