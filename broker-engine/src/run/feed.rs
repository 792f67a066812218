//! What a handler is fed with for as long as it answers at once.

use broker_core::broker::Batch;

use super::wiring::Wiring;
use crate::incoming::Incoming;
use crate::subscriber::AckPolicy;

/// The messages of a batch as views, for a handler that answers at once: no delivery of its own for each, one call
/// through a pointer and one guard for all.
pub(crate) struct Feed<'a> {
    batch: &'a mut Batch,
    looked: &'a mut Option<Incoming>,
    wiring: &'a Wiring,
    route: usize,
    /// Whether messages of any kind are for this route.
    handles_all: bool,
    /// How many may be handled at most.
    most: u32,
    called: u32,
    /// Handled, and not settled yet.
    done: u32,
    /// Handled, and settled.
    settled: u32,
}

impl<'a> Feed<'a> {
    /// At most `most` messages, as long as they are for `route`.
    pub(crate) fn new(
        batch: &'a mut Batch,
        looked: &'a mut Option<Incoming>,
        wiring: &'a Wiring,
        route: usize,
        most: u32,
    ) -> Self {
        Self {
            batch,
            looked,
            wiring,
            handles_all: wiring.has_one_route(),
            route,
            most,
            called: 0,
            done: 0,
            settled: 0,
        }
    }

    /// The next message; `None` where there is none, or others have their turn.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Incoming> {
        if self.called == self.most {
            return None;
        }
        if !self.handles_all {
            return self.next_of_route();
        }
        let view = look(self.looked, self.batch, self.wiring)?;
        self.called += 1;
        Some(view)
    }

    #[inline(never)]
    fn next_of_route(&mut self) -> Option<Incoming> {
        let view = look(self.looked, self.batch, self.wiring)?;
        let is_ours = self.wiring.route(&view.delivery) == Some(self.route);
        self.called += u32::from(is_ours);
        is_ours.then_some(view)
    }

    /// The message that came last is done; answers whether the next may follow it.
    #[inline]
    pub(crate) fn done(&mut self) -> bool {
        if self.wiring.ack != AckPolicy::Each {
            self.done += 1;
            return true;
        }
        let settled = self.batch.try_ack_first();
        self.settled += u32::from(settled);
        settled
    }

    /// Settles what is done, and answers how often the handler was called; the message that came last and is not done is
    /// the batch's first.
    pub(crate) fn end(self) -> u32 {
        self.batch.ack_viewed_later(self.done as usize);
        self.wiring.tally.started.add(u64::from(self.called));
        self.wiring.tally.handled.add(u64::from(self.done + self.settled));
        self.called
    }
}

/// The next message that was not looked at yet, in the place of the last one if no service holds that any more.
#[inline(always)]
pub(super) fn look(looked: &mut Option<Incoming>, batch: &mut Batch, wiring: &Wiring) -> Option<Incoming> {
    if let Some(delivery) = looked.as_mut().and_then(Incoming::delivery_mut) {
        if !batch.next_view_in(delivery) {
            return None;
        }
        return looked.as_ref().map(Incoming::view);
    }
    look_anew(looked, batch, wiring)
}

#[cold]
fn look_anew(looked: &mut Option<Incoming>, batch: &mut Batch, wiring: &Wiring) -> Option<Incoming> {
    let incoming = Incoming::new(batch.next_view()?, wiring.context.clone());
    Some(looked.insert(incoming).view())
}
