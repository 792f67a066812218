//! Several messages in a consumer's hands.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use super::consumer::Consumer;
use super::delivery::Delivery;
use super::nack_options::NackOptions;
use super::views::Views;
use crate::base::{Deliveries, Lot};
use crate::values::{Message, MessageId, Receipt, ReceiptRun, Result, Settled, Settlements, StreamName};

/// Messages that were read together, in the order of their delivery.
///
/// Look at them by [`iter`](Self::iter) and settle all at once, which costs nothing per message, or take them one by
/// one by iterating over the batch itself. Those that are dropped unsettled come again when their lease ends.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.publish_batch("orders", vec![Message::text("coffee"), Message::text("tea")]).await?;
///
/// let mut batch = broker.read("orders", "billing", 10).await?;
/// for order in batch.iter() {
///     println!("{}: {:?}", order.id(), order.payload());
/// }
/// assert!(batch.ack().await?.is_complete());
/// # Ok(())
/// # }
/// ```
pub struct Batch {
    pub(super) consumer: Arc<Consumer>,
    pub(super) lots: SmallVec<[Lot; 2]>,
    /// The next message: its lot, and its place there.
    pub(super) lot: usize,
    pub(super) index: usize,
    /// The next message to look at: its lot, and its place there.
    pub(super) ahead: (usize, usize),
    /// What the next views are, for as long as they follow on one another.
    pub(super) views: Views,
    /// Messages settled by [`try_ack_first`](Self::try_ack_first) that are still counted as being in hand, and how many of
    /// these settlements took effect.
    pub(super) settled: (usize, usize),
}

impl Batch {
    pub(super) fn new(consumer: Arc<Consumer>, deliveries: Deliveries) -> Self {
        Self {
            consumer,
            lots: deliveries.into_lots(),
            lot: 0,
            index: 0,
            ahead: (0, 0),
            views: Views::default(),
            settled: (0, 0),
        }
    }

    /// Who settles what is left, and by what.
    pub(super) fn claim(&self) -> (&Arc<Consumer>, impl Iterator<Item = ReceiptRun>) {
        let runs = self.rest().flat_map(|(lot, from)| lot.runs_from(from));
        (&self.consumer, runs)
    }

    /// How many messages are left in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest().map(|(lot, from)| lot.len() - from).sum()
    }

    /// Whether none are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages, lent.
    pub fn iter(&self) -> impl Iterator<Item = DeliveryRef<'_>> {
        let asked = &self.consumer.member.stream;
        self.rest().flat_map(move |(lot, from)| {
            let stream = lot.stream.as_ref().unwrap_or(asked);
            (from..lot.len()).filter_map(move |index| {
                let (message, receipt) = (lot.message(index)?, lot.receipt(index)?);
                Some(DeliveryRef {
                    lot,
                    index,
                    message,
                    receipt,
                    stream,
                })
            })
        })
    }

    /// Settles all that are left as done.
    ///
    /// # Errors
    ///
    /// As [`Delivery::ack`]; the batch is then as it was.
    pub async fn ack(&mut self) -> Result<Settlements> {
        let runs = self.runs();
        if runs.is_empty() {
            return Ok(Settlements::all(Settled::Acked, 0));
        }
        let answer = self.consumer.ack(&runs).await?;
        self.consumer.release(self.len());
        self.forget();
        Ok(answer)
    }

    /// Settles all that are left as done, soon: with the next read, or after 10 ms.
    pub fn ack_later(mut self) {
        if self.consumer.settles() {
            self.consumer.ack_runs_later(&self.runs());
        }
        self.forget();
    }

    /// Refuses all that are left, those of one attempt number by one call.
    ///
    /// # Errors
    ///
    /// As [`Delivery::nack_with`]; those that were not refused are still in the batch.
    pub async fn nack(&mut self, options: NackOptions) -> Result<Settlements> {
        let mut answers = Settlements::all(Settled::Nacked, 0);
        while let Some(attempt) = self.runs().first().map(|run| run.first.attempt) {
            let runs: SmallVec<[ReceiptRun; 2]> = self
                .runs()
                .into_iter()
                .take_while(|run| run.first.attempt == attempt)
                .collect();
            let answer = self.consumer.nack_runs(&runs, attempt, &options).await?;
            answers.append(&answer);
            let count = runs.iter().map(|run| run.len as usize).sum();
            self.consumer.release(count);
            self.skip_ahead(count);
        }
        Ok(answers)
    }

    /// The next message, taken out of the batch.
    #[inline]
    pub(super) fn next_delivery(&mut self) -> Option<Delivery> {
        loop {
            let lot = self.lots.get(self.lot)?;
            if let Some(receipt) = lot.receipt(self.index) {
                let place = lot.place(self.index);
                let (store, stream) = (Arc::clone(lot.store()), lot.stream.clone());
                self.index += 1;
                if self.ahead < (self.lot, self.index) {
                    self.look_again();
                }
                return Some(Delivery::new(
                    Arc::clone(&self.consumer),
                    store,
                    place,
                    receipt,
                    stream,
                ));
            }
            self.lot += 1;
            self.index = 0;
        }
    }

    /// Hands back what is left: it was never handled.
    pub(super) fn give_back(mut self) {
        self.consumer.give_back(self.runs());
        self.forget();
    }

    /// Hands back what is left, and waits until that is done.
    pub(super) async fn give_back_now(mut self) {
        let runs = self.runs();
        self.forget();
        self.consumer.give_back_now(&runs).await;
    }

    fn rest(&self) -> impl Iterator<Item = (&Lot, usize)> {
        let current = self.lots.get(self.lot).map(|lot| (lot, self.index));
        let later = self.lots.get(self.lot + 1..).unwrap_or_default();
        current.into_iter().chain(later.iter().map(|lot| (lot, 0)))
    }

    /// The receipts of all that are left, as runs.
    #[must_use]
    pub fn runs(&self) -> SmallVec<[ReceiptRun; 2]> {
        self.rest().flat_map(|(lot, from)| lot.runs_from(from)).collect()
    }

    #[inline]
    pub(super) fn skip_ahead(&mut self, mut count: usize) {
        while let Some(lot) = self.lots.get(self.lot) {
            let left = lot.len() - self.index;
            if count < left {
                self.index += count;
                return;
            }
            count -= left;
            self.lot += 1;
            self.index = 0;
        }
    }

    fn forget(&mut self) {
        self.lot = self.lots.len();
        self.index = 0;
    }
}

impl Iterator for Batch {
    type Item = Delivery;

    #[inline]
    fn next(&mut self) -> Option<Delivery> {
        self.next_delivery()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.count_settled();
        if self.consumer.settles() {
            self.consumer.release(self.len());
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("stream", &self.consumer.member.stream)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A message of a [`Batch`], lent.
#[derive(Clone, Copy)]
pub struct DeliveryRef<'a> {
    lot: &'a Lot,
    index: usize,
    message: &'a Message,
    receipt: Receipt,
    stream: &'a StreamName,
}

impl<'a> DeliveryRef<'a> {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &'a Message {
        self.message
    }

    /// The id the broker gave it.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.lot.store().id(self.lot.place(self.index), &self.receipt)
    }

    /// How often it was delivered to this group, this time included.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.receipt.attempt
    }

    /// What names this delivery.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// The stream it came from.
    #[must_use]
    pub fn stream(&self) -> &'a StreamName {
        self.stream
    }
}

impl Deref for DeliveryRef<'_> {
    type Target = Message;

    fn deref(&self) -> &Message {
        self.message
    }
}

impl fmt::Debug for DeliveryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryRef")
            .field("receipt", &self.receipt)
            .field("message", self.message)
            .finish_non_exhaustive()
    }
}
