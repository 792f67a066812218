//! Settling deliveries.

use std::time::{Duration, SystemTime};

use broker_core::base::Disposition;
use broker_core::{Capabilities, Failure, Receipt, ReceiptRun, Result, Settled, Settlements};
use broker_window::{Moment, Purpose, Who};

use super::session::Session;
use crate::group::{Group, Member};
use crate::stream::Stream;

impl Session {
    /// Marks deliveries as done.
    #[inline]
    pub(crate) fn ack(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
    ) -> Result<Settlements> {
        self.check(Capabilities::MESSAGE_ACKNOWLEDGEMENT)?;
        let now = self.hub.clock.now();
        let who = see(member, now);
        let settlements = group.settle(stream, runs, who, Purpose::Done, Settled::Acked, now);
        self.hub.handlings.tell();
        Ok(settlements)
    }

    /// Marks one delivery as done.
    pub(crate) fn ack_one(
        &self,
        stream: &Stream,
        group: &Group,
        member: &Member,
        receipt: &Receipt,
    ) -> Result<Settled> {
        let may = !self.is_closed() && self.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        if may && group.settle_oldest(stream, receipt, member.who) {
            return Ok(Settled::Acked);
        }
        self.ack_one_slowly(stream, group, member, receipt)
    }

    #[cold]
    fn ack_one_slowly(
        &self,
        stream: &Stream,
        group: &Group,
        member: &Member,
        receipt: &Receipt,
    ) -> Result<Settled> {
        let answer = self.ack(stream, group, Some(member), &[(*receipt).into()])?;
        Ok(answer.get(0).unwrap_or(Settled::NotPending))
    }

    /// Refuses deliveries.
    pub(crate) fn nack(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        self.check_nack(disposition)?;
        let refuse = || self.refuse(stream, group, member, runs, disposition, failure);
        let for_good = !matches!(disposition, Disposition::Requeue { .. } | Disposition::GiveBack);
        if !(for_good && self.hub.handlings.are_wanted()) {
            return refuse();
        }
        let settlements = self.hub.handlings.give_up(group.id, runs, failure, refuse);
        self.hub.handlings.tell();
        settlements
    }

    fn refuse(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        let now = self.hub.clock.now();
        let who = see(member, now);
        let purpose = match disposition {
            Disposition::Requeue { delay } => Purpose::Requeue(now.after(delay), SystemTime::now()),
            Disposition::GiveBack => Purpose::GiveBack,
            Disposition::Discard => Purpose::Done,
            Disposition::DeadLetter | Disposition::WornOut => {
                return match member {
                    Some(member) => group.bury(stream, runs, member, (disposition, failure), now),
                    None => Ok(group.settle(stream, runs, who, Purpose::Done, Settled::Nacked, now)),
                };
            }
        };
        Ok(group.settle(stream, runs, who, purpose, Settled::Nacked, now))
    }

    /// Gives back what was handed out and not handled: not an operation of the user's, so that it needs no more than
    /// that deliveries are settled at all.
    pub(crate) fn give_back(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
    ) -> Result<Settlements> {
        self.check(Capabilities::MESSAGE_ACKNOWLEDGEMENT)?;
        let now = self.hub.clock.now();
        let who = see(member, now);
        Ok(group.settle(stream, runs, who, Purpose::GiveBack, Settled::Nacked, now))
    }

    /// Refuses a disposition that is not claimed.
    pub(crate) fn check_nack(&self, disposition: Disposition) -> Result<()> {
        self.check(Capabilities::MESSAGE_REJECTION)?;
        match disposition {
            Disposition::DeadLetter | Disposition::WornOut => self.check(Capabilities::DEAD_LETTER_QUEUE),
            Disposition::Requeue { .. } | Disposition::GiveBack | Disposition::Discard => Ok(()),
        }
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) fn extend(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
        by: Duration,
    ) -> Settlements {
        let now = self.hub.clock.now();
        let who = see(member, now);
        group.settle(
            stream,
            runs,
            who,
            Purpose::Extend(now.after(by)),
            Settled::Acked,
            now,
        )
    }
}

/// Who settles, and now is seen to; nobody, where no such consumer ever read.
#[inline]
fn see(member: Option<&Member>, now: Moment) -> Who {
    member.map_or(Who::NOBODY, |member| {
        member.see(now);
        member.who
    })
}
