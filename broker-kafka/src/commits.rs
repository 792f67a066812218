//! What becomes of acks while the group takes no commit.

use broker_core::{ReceiptRun, Settled, Settlements};

use crate::session::Session;

impl Session {
    /// Whether the group has taken no commit for so long that acks wait for one.
    pub(crate) fn is_late(&self) -> bool {
        self.state().is_late()
    }

    /// Waits until the group takes commits, or nothing of it is left to be committed.
    pub(crate) async fn until_committed(&self) {
        loop {
            let mut committed = std::pin::pin!(self.committed.notified());
            committed.as_mut().enable();
            if !self.is_late() {
                return;
            }
            committed.await;
        }
    }

    /// Has nobody wait any more for commits where there is nothing left to be committed.
    pub(crate) fn let_wait_end(&self) {
        let mut state = self.state();
        if !state.partitions.values().any(|partition| partition.dirty) {
            state.uncommitted = None;
        }
        drop(state);
        self.committed.notify_waiters();
    }

    /// Lets go what the library's client, which has ended, did not take away.
    pub(crate) fn give_up(&self) {
        let mut state = self.state();
        let numbers: Vec<u32> = state.partitions.keys().copied().collect();
        for number in numbers {
            state.let_go(number);
        }
        drop(state);
        self.let_wait_end();
    }

    /// What settling answered, once commits were waited for: what went away before it could be committed is stale.
    pub(crate) fn once_committed(&self, runs: &[ReceiptRun], answers: &Settlements) -> Settlements {
        let state = self.state();
        let receipts = runs.iter().flat_map(|run| run.iter());
        let mut kept = Settlements::all(Settled::Acked, 0);
        for (receipt, answer) in receipts.zip(answers.iter()) {
            kept.push(match answer {
                Settled::Acked | Settled::AlreadySettled if !state.keeps(receipt) => Settled::Stale,
                answer => answer,
            });
        }
        kept
    }
}
