//! What is written beside a message, and which message it is by that.

use broker_core::MessageId;

/// What is written beside a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: MessageId,
    /// How often it was handed out before it was written.
    pub(crate) attempts: u32,
    /// When it failed for the first time, in ms since 1970.
    pub(crate) first_failed: Option<u64>,
    /// The how-manieth copy of the published message it is: each move from one queue to another makes one.
    pub(crate) copy: u32,
}

/// Which message it is among all that any broker ever published, and which copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) id: (u64, u64),
    pub(crate) copy: u32,
}

/// The copies between two replays from the dead letters: one that was replayed is to be handled again.
const GENERATION: u32 = 1 << 16;

/// How often a copy was replayed.
pub(crate) const fn generation(copy: u32) -> u32 {
    copy / GENERATION
}

impl Meta {
    pub(crate) const fn new(id: MessageId) -> Self {
        Self {
            id,
            attempts: 0,
            first_failed: None,
            copy: 0,
        }
    }

    /// What is written beside a copy that takes this one's place.
    pub(crate) fn moved(&self, attempts: u32, first_failed: Option<u64>) -> Self {
        Self {
            id: self.id.clone(),
            attempts,
            first_failed,
            copy: self.copy.saturating_add(1),
        }
    }

    /// What is written beside a copy that begins anew.
    pub(crate) fn replayed(&self) -> Self {
        let generation = generation(self.copy).saturating_add(1);
        Self {
            copy: generation.saturating_mul(GENERATION),
            ..Self::new(self.id.clone())
        }
    }

    /// Which message it is, if it was published by a broker: another program's id may be that of many.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self.id {
            MessageId::Entry { ms, seq } => Some(Identity {
                id: (ms, seq),
                copy: self.copy,
            }),
            _ => None,
        }
    }
}
