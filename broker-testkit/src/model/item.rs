//! One message as a group has it.

use std::time::Duration;

use broker_core::MessageId;

/// A message as a group has it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: Name,
    pub(super) state: State,
    /// Its latest delivery.
    pub(super) latest: u64,
    /// Deliveries that count.
    pub(super) attempts: u32,
    /// Whether the group was moved since its last delivery: its attempts may begin anew, and need not.
    pub(super) moved: bool,
}

/// Which message: by its number, and by the dead letter that it was, if it was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) number: usize,
    pub(super) replayed_from: Option<MessageId>,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    /// Never handed out, or not since the group was moved.
    New,
    /// Handed out; the lease ends within the span.
    Held { delivery: u64, until: Span },
    /// Refused, to come again from some moment of the span on.
    Resting { until: Span },
    /// Settled for good.
    Done,
}

/// When something happened, or happens: not before, and not after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Span {
    pub(super) fn plus(self, by: Duration) -> Self {
        Self {
            from: self.from + by,
            to: self.to + by,
        }
    }
}

impl Item {
    pub(super) fn of(number: usize) -> Self {
        Self {
            name: Name::of(number),
            state: State::New,
            latest: 0,
            attempts: 0,
            moved: false,
        }
    }

    pub(super) fn is_new(&self) -> bool {
        matches!(self.state, State::New)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether it may be handed out by `now` at the latest.
    pub(super) fn may_come(&self, now: Duration) -> bool {
        match &self.state {
            State::New => true,
            State::Held { until, .. } | State::Resting { until } => now >= until.from,
            State::Done => false,
        }
    }

    /// Whether it has to be handed out from `now` on.
    pub(super) fn must_come(&self, now: Duration) -> bool {
        match &self.state {
            State::New => true,
            State::Held { until, .. } | State::Resting { until } => now >= until.to,
            State::Done => false,
        }
    }
}

impl Name {
    pub(super) fn of(number: usize) -> Self {
        Self {
            number,
            replayed_from: None,
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "message {}", self.number)?;
        match &self.replayed_from {
            Some(id) => write!(f, " (replayed from {id})"),
            None => Ok(()),
        }
    }
}
