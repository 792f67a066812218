//! What a group knows about one message in its window: sixteen bytes.

use broker_core::Receipt;

use crate::Moment;

/// Who a message is with, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The end of the lease, while a member holds the message.
    pub deadline: Moment,
    /// Which delivery it is, and whose.
    pub tag: Tag,
}

impl Slot {
    pub(crate) const SETTLED: Self = Self {
        deadline: Moment(0),
        tag: Tag::new(0, 0, Who::SETTLED),
    };
}

/// Attempt, turn and holder in one word, so that a receipt is checked by one comparison.
///
/// The turn tells deliveries of one attempt apart: a delivery that was given back does not count as an attempt, and
/// still its receipt must not settle the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u64);

/// The member that holds a message, or what became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Who(u32);

impl Who {
    /// Done for this group, or not in the log at all.
    pub const SETTLED: Self = Self(0);
    /// Refused, to come again.
    pub const NACKED: Self = Self(1);
    /// Its lease ended, or its member was removed.
    pub const EXPIRED: Self = Self(2);
    /// Given back unhandled.
    pub const RETURNED: Self = Self(3);
    /// Never handed out: an earlier message of its key is unsettled.
    pub const PARKED: Self = Self(4);
    /// In the hands of a member of before this window, as its last commit says.
    pub const INHERITED: Self = Self(5);
    /// Nobody: what a settle by an unknown member is checked as.
    pub const NOBODY: Self = Self(6);

    const FIRST_MEMBER: u32 = 16;
    const MASK: u32 = 0x00ff_ffff;

    /// The member of this number, counted from zero; `None` where there are too many to tell apart.
    pub fn member(number: u32) -> Option<Self> {
        let who = number.checked_add(Self::FIRST_MEMBER)?;
        (who <= Self::MASK).then_some(Self(who))
    }

    /// Whether it is a member.
    #[inline]
    pub fn holds(self) -> bool {
        self.0 >= Self::FIRST_MEMBER
    }
}

impl Tag {
    /// The delivery to `who` at this attempt and turn.
    #[inline]
    pub const fn new(attempt: u32, turn: u8, who: Who) -> Self {
        Self((attempt as u64) << 32 | (turn as u64) << 24 | who.0 as u64)
    }

    /// The delivery that a receipt names, whose message was handed out `before` times by somebody who counted apart.
    #[inline]
    pub const fn of(receipt: &Receipt, before: u32) -> Self {
        Self((receipt.attempt.saturating_sub(before) as u64) << 32 | receipt.fence & u32::MAX as u64)
    }

    /// What a receipt for this delivery has as its fence: the window's epoch, the turn and the holder.
    #[inline]
    pub const fn fence(self, epoch: u32) -> u64 {
        (epoch as u64) << 32 | self.holder() as u64
    }

    /// The epoch of the window that gave the receipt.
    #[inline]
    pub const fn epoch(receipt: &Receipt) -> u32 {
        (receipt.fence >> 32) as u32
    }

    /// The tag that a receipt's attempt and the lower half of its fence make.
    #[inline]
    pub const fn from_receipt(attempt: u32, holder: u32) -> Self {
        Self((attempt as u64) << 32 | holder as u64)
    }

    /// The lower half of a receipt's fence.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
    #[inline]
    pub const fn holder(self) -> u32 {
        self.0 as u32
    }

    /// How many deliveries there have been with this one, counted from one; zero before the first.
    #[inline]
    pub const fn attempt(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Who has the message, or what became of it.
    #[inline]
    pub const fn who(self) -> Who {
        Who(self.holder() & Who::MASK)
    }

    /// Attempt and turn: which delivery of the message, whoever has it.
    #[inline]
    pub const fn delivery(self) -> u64 {
        self.0 >> 24
    }

    const fn turn(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "eight bits are asked for")]
        let turn = (self.0 >> 24) as u8;
        turn
    }

    /// The same delivery, with what became of it.
    #[inline]
    pub const fn with(self, who: Who) -> Self {
        Self((self.0 & !(Who::MASK as u64)) | who.0 as u64)
    }

    /// How many deliveries count so far: one that was given back does not.
    pub fn delivered(self) -> u32 {
        self.attempt() - u32::from(self.who() == Who::RETURNED && self.attempt() > 0)
    }

    /// The next delivery of the message, to `who`.
    pub fn next(self, who: Who) -> Self {
        if self.who() == Who::RETURNED {
            Self::new(self.attempt(), self.turn().wrapping_add(1), who)
        } else {
            Self::new(self.attempt().saturating_add(1), 0, who)
        }
    }
}
