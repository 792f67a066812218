//! What a group knows about one message in its window: sixteen bytes.

/// Microseconds on the group's own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// No moment that comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);
}

/// Who a message is with, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The end of the lease, while a member holds the message.
    pub(crate) deadline: Moment,
    pub(crate) tag: Tag,
}

impl Slot {
    pub(crate) const SETTLED: Self = Self {
        deadline: Moment::NEVER,
        tag: Tag::new(0, 0, Who::SETTLED),
    };
}

/// Attempt, turn and holder in one word, so that a receipt is checked by one comparison.
///
/// The turn tells deliveries of one attempt apart: a delivery that was given back does not count as an attempt, and
/// still its receipt must not settle the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u64);

/// The member that holds a message, or what became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who(u32);

impl Who {
    /// Done for this group, or not in the log at all.
    pub(crate) const SETTLED: Self = Self(0);
    /// Refused, to come again.
    pub(crate) const NACKED: Self = Self(1);
    /// Its lease ended.
    pub(crate) const EXPIRED: Self = Self(2);
    /// Given back unhandled.
    pub(crate) const RETURNED: Self = Self(3);
    /// Never handed out: an earlier message of its key is unsettled.
    pub(crate) const PARKED: Self = Self(4);
    /// In the hands of an earlier owner of the partition, as the last commit says.
    pub(crate) const INHERITED: Self = Self(5);
    /// Nobody: what a settle by an unknown consumer is checked as.
    pub(crate) const NOBODY: Self = Self(6);

    const FIRST_MEMBER: u32 = 16;
    const MASK: u32 = 0x00ff_ffff;

    /// The member of this number, counted from zero; `None` where there are too many to tell apart.
    pub(crate) fn member(number: u32) -> Option<Self> {
        let who = number.checked_add(Self::FIRST_MEMBER)?;
        (who <= Self::MASK).then_some(Self(who))
    }

    /// Whether it is a member.
    #[inline]
    pub(crate) fn holds(self) -> bool {
        self.0 >= Self::FIRST_MEMBER
    }
}

impl Tag {
    #[inline]
    pub(crate) const fn new(attempt: u32, turn: u8, who: Who) -> Self {
        Self((attempt as u64) << 32 | (turn as u64) << 24 | who.0 as u64)
    }

    /// The tag that a receipt's attempt and the lower half of its fence make.
    #[inline]
    pub(crate) const fn from_receipt(attempt: u32, holder: u32) -> Self {
        Self((attempt as u64) << 32 | holder as u64)
    }

    /// The lower half of a receipt's fence.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
    #[inline]
    pub(crate) const fn holder(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(crate) const fn attempt(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) const fn who(self) -> Who {
        Who(self.holder() & Who::MASK)
    }

    /// Attempt and turn: which delivery of the message, whoever has it.
    #[inline]
    pub(crate) const fn delivery(self) -> u64 {
        self.0 >> 24
    }

    /// How many deliveries count so far: one that was given back does not.
    pub(crate) fn delivered(self) -> u32 {
        self.attempt() - u32::from(self.who() == Who::RETURNED && self.attempt() > 0)
    }

    const fn turn(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "eight bits are asked for")]
        let turn = (self.0 >> 24) as u8;
        turn
    }

    /// The same delivery, with what became of it.
    #[inline]
    pub(crate) const fn with(self, who: Who) -> Self {
        Self((self.0 & !(Who::MASK as u64)) | who.0 as u64)
    }

    /// The next delivery of the message, to `who`.
    pub(crate) fn next(self, who: Who) -> Self {
        if self.who() == Who::RETURNED {
            Self::new(self.attempt(), self.turn().wrapping_add(1), who)
        } else {
            Self::new(self.attempt().saturating_add(1), 0, who)
        }
    }
}
