//! Settling: plain `XACK` for what is certainly ours, one by one against the fence for the rest.

use std::time::Duration;

use broker_core::base::Disposition;
use broker_core::{Failure, Receipt, ReceiptRun, Result, Settled, Settlements};
use tokio::time::Instant;

use crate::handed_out::{Fence, Known};
use crate::reader::Hands;
use crate::time::{EntryId, IdText, millis};
use crate::{error, reply, scripts};

/// How many deliveries one script settles: what a server does in well under a millisecond.
const CHUNK: usize = 500;

/// How many deliveries one script acknowledges: what fits on its stack, with room to spare.
const ACK_CHUNK: usize = 2000;

/// What a settlement does at the server.
struct Operation<'a> {
    name: &'static str,
    time: Duration,
    failure: &'a Failure,
    /// What it answers where it took effect.
    done: Settled,
}

static NO_FAILURE: Failure = Failure {
    reason: String::new(),
    chain: Vec::new(),
};

impl Hands {
    /// Marks deliveries as done.
    pub(crate) async fn ack(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        let mut tentative = Tentative::new(self, runs);
        let token = tentative.token();
        if self.is_sequential() {
            if let Some(token) = token
                && let Some(answers) = self.ack_in_lanes(&tentative.receipts, token).await?
            {
                tentative.keep();
                return Ok(collect(&answers, Settled::Acked));
            }
        } else if let Some(token) = token {
            let count = tentative.receipts.len();
            // None of them, or a moved group: which answer each deserves, the server is asked below.
            if let Some(acked) = self
                .ack_fresh(&tentative.receipts, token)
                .await?
                .filter(|acked| *acked > 0)
            {
                tentative.keep();
                let mut answers = Settlements::all(Settled::Acked, acked);
                // Some other program settled the difference; `XACK` does not tell which ones.
                for _ in acked..count {
                    answers.push(Settled::AlreadySettled);
                }
                return Ok(answers);
            }
        }
        let mut answers = Vec::with_capacity(tentative.receipts.len());
        let operation = Operation {
            name: "ack",
            time: Duration::ZERO,
            failure: &NO_FAILURE,
            done: Settled::Acked,
        };
        self.settle(&tentative, &operation, &mut answers).await?;
        tentative.keep();
        if self.is_sequential() {
            // The next message of the key may be due now.
            self.group.due_in(Duration::ZERO);
        }
        Ok(collect(&answers, Settled::Acked))
    }

    /// Refuses deliveries.
    pub(crate) async fn nack(
        &self,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        let mut tentative = Tentative::new(self, runs);
        let (name, time) = match disposition {
            Disposition::Requeue { delay } => ("requeue", delay),
            Disposition::GiveBack => ("give_back", Duration::ZERO),
            Disposition::DeadLetter => ("dead", Duration::ZERO),
            Disposition::WornOut => ("worn_out", Duration::ZERO),
            Disposition::Discard => ("ack", Duration::ZERO),
        };
        let operation = Operation {
            name,
            time,
            failure,
            done: Settled::Nacked,
        };
        let mut answers = Vec::with_capacity(tentative.receipts.len());
        self.settle(&tentative, &operation, &mut answers).await?;
        tentative.keep();
        if self.is_sequential() || matches!(disposition, Disposition::Requeue { .. } | Disposition::GiveBack)
        {
            self.group.due_in(time);
        }
        Ok(collect(&answers, Settled::Nacked))
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) async fn extend(&self, runs: &[ReceiptRun], by: Duration) -> Result<Settlements> {
        let receipts: Vec<_> = runs.iter().flat_map(|run| run.iter()).collect();
        // Their leases end later than this process would think; from now on the server is asked.
        for receipt in &receipts {
            self.handed_out().mark(receipt);
        }
        let lease = Failure::new(millis(self.member.lease).to_string());
        let operation = Operation {
            name: "extend",
            time: by,
            failure: &lease,
            done: Settled::Acked,
        };
        let mut answers = Vec::with_capacity(receipts.len());
        self.settle_at_server(&receipts, &operation, &mut answers).await?;
        Ok(collect(&answers, Settled::Acked))
    }

    /// Parks entries that were read and never handed out.
    pub(crate) async fn park(&self, entries: &[(EntryId, u32)], epoch: u32) -> Result<()> {
        for chunk in entries.chunks(CHUNK) {
            let mut call = self.settle_call("give_back", epoch, Duration::ZERO, &NO_FAILURE);
            for (id, count) in chunk {
                call.arg(id.to_string()).arg(*count);
            }
            self.client.run_even_closed(&scripts::SETTLE, &call).await?;
        }
        self.group.due_in(Duration::ZERO);
        Ok(())
    }

    /// Acknowledges what is certainly ours; answers how many were pending, or `None` after a change of hands.
    async fn ack_fresh(&self, receipts: &[Receipt], token: u32) -> Result<Option<usize>> {
        let keys = &self.group.keys;
        let mut acked = 0;
        for chunk in receipts.chunks(ACK_CHUNK) {
            if let Some(answer) = self.ack_watched(chunk, token).await? {
                acked += answer;
                continue;
            }
            let mut call = scripts::ACK.call(&[&keys.entries, &keys.state]);
            call.arg(token).arg(self.group.name.as_str());
            let mut text = IdText::default();
            for receipt in chunk {
                call.arg(text.write(receipt));
            }
            let answer = self.client.run_ahead(&keys.entries, &scripts::ACK, &call).await?;
            match reply::number(&answer).map(usize::try_from) {
                Some(Ok(count)) => acked += count,
                Some(Err(_)) => return Ok(None),
                None => return Err(error::odd_reply("ack")),
            }
        }
        Ok(Some(acked))
    }

    /// Acknowledges by a plain `XACK`, in a transaction that the connection drops if the group's state has changed since
    /// it had this token: a third of what the script costs. `None` where that was not possible, and nothing was done.
    async fn ack_watched(&self, receipts: &[Receipt], token: u32) -> Result<Option<usize>> {
        let keys = &self.group.keys;
        let mut command = redis::Cmd::with_capacity(receipts.len() + 3, receipts.len() * 18 + 64);
        command
            .arg("XACK")
            .arg(&keys.entries)
            .arg(self.group.name.as_str());
        let mut text = IdText::default();
        for receipt in receipts {
            command.arg(text.write(receipt));
        }
        let answer = self.client.transact_ahead(&keys.state, token, command).await?;
        Ok(answer.and_then(|answer| usize::try_from(reply::count(&answer)?).ok()))
    }

    /// Settles what this process does not know to be settled already.
    async fn settle(
        &self,
        tentative: &Tentative<'_>,
        operation: &Operation<'_>,
        answers: &mut Vec<Settled>,
    ) -> Result<()> {
        let open: Vec<_> = tentative.open().collect();
        let mut told = Vec::with_capacity(open.len());
        self.settle_at_server(&open, operation, &mut told).await?;
        let mut told = told.into_iter();
        answers.extend(tentative.known.iter().map(|known| match known {
            Known::Settled => Settled::AlreadySettled,
            Known::Fresh(_) | Known::Unsure => told.next().unwrap_or(Settled::NotPending),
        }));
        Ok(())
    }

    async fn settle_at_server(
        &self,
        receipts: &[Receipt],
        operation: &Operation<'_>,
        answers: &mut Vec<Settled>,
    ) -> Result<()> {
        let mut rest = receipts;
        while let Some(first) = rest.first() {
            let epoch = Fence::unpack(first.fence).epoch;
            let same = rest
                .iter()
                .take(CHUNK)
                .take_while(|receipt| Fence::unpack(receipt.fence).epoch == epoch)
                .count();
            let (chunk, later) = rest.split_at(same);
            rest = later;
            let mut call = self.settle_call(
                operation.name,
                self.full_epoch(epoch),
                operation.time,
                operation.failure,
            );
            let mut text = IdText::default();
            for receipt in chunk {
                let count = Fence::unpack(receipt.fence).count;
                call.arg(text.write(receipt)).arg(count);
            }
            let answer = self.client.run(&scripts::SETTLE, &call).await?;
            let letters = reply::text(&answer).ok_or_else(|| error::odd_reply("settle"))?;
            if letters.len() != chunk.len() {
                return Err(error::odd_reply("settle"));
            }
            answers.extend(letters.bytes().map(|letter| match letter {
                b'A' => operation.done,
                b'S' => Settled::AlreadySettled,
                b'O' => Settled::NotOwner,
                b'L' => Settled::Stale,
                _ => Settled::NotPending,
            }));
        }
        Ok(())
    }

    fn settle_call(&self, name: &str, epoch: u32, time: Duration, failure: &Failure) -> redis::Cmd {
        let keys = &self.group.keys;
        let chain = serde_json::to_string(&failure.chain).unwrap_or_default();
        let mut call =
            scripts::SETTLE.call(&[&keys.entries, &keys.state, &keys.due, &keys.dead, &keys.lanes]);
        call.arg(name)
            .arg(self.group.name.as_str())
            .arg(self.member.consumer.as_str())
            .arg(epoch)
            .arg(millis(time))
            .arg(&failure.reason)
            .arg(chain)
            .arg(self.group.partition.unwrap_or(0))
            .arg(u8::from(self.is_sequential()))
            .arg(&keys.wake);
        call
    }

    /// The epoch whose low bits a receipt carries: the present one, or one that is certainly not.
    fn full_epoch(&self, low: u16) -> u32 {
        let present = self.group.epoch();
        if Fence::low(present) == low {
            present
        } else {
            u32::from(low)
        }
    }
}

/// Receipts that are being settled; unless that is kept, they are open again, also when the future is dropped.
struct Tentative<'a> {
    hands: &'a Hands,
    receipts: Vec<Receipt>,
    known: Vec<Known>,
}

impl<'a> Tentative<'a> {
    fn new(hands: &'a Hands, runs: &[ReceiptRun]) -> Self {
        let receipts: Vec<_> = runs.iter().flat_map(|run| run.iter()).collect();
        // Once for all: asking the clock costs more than all else that is done for a receipt here.
        let ended = Instant::now().checked_sub(hands.lease());
        let mut handed_out = hands.handed_out();
        let known = receipts
            .iter()
            .map(|receipt| handed_out.settle(receipt, ended))
            .collect();
        drop(handed_out);
        Self {
            hands,
            receipts,
            known,
        }
    }

    /// The token with which a plain `XACK` may settle all of them at once.
    fn token(&self) -> Option<u32> {
        let Some(Known::Fresh(token)) = self.known.first() else {
            return None;
        };
        let same = self.known.iter().all(|known| *known == Known::Fresh(*token));
        same.then_some(*token)
    }

    /// The receipts that are not known to be settled.
    fn open(&self) -> impl Iterator<Item = Receipt> {
        self.receipts
            .iter()
            .zip(&self.known)
            .filter(|(_, known)| **known != Known::Settled)
            .map(|(receipt, _)| *receipt)
    }

    fn keep(&mut self) {
        self.receipts.clear();
    }
}

impl Drop for Tentative<'_> {
    fn drop(&mut self) {
        if self.receipts.is_empty() {
            return;
        }
        let mut handed_out = self.hands.handed_out();
        for receipt in self.open() {
            handed_out.reopen(&receipt);
        }
    }
}

fn collect(answers: &[Settled], usual: Settled) -> Settlements {
    let mut settlements = Settlements::all(usual, 0);
    for answer in answers {
        settlements.push(*answer);
    }
    settlements
}
