//! One message in a consumer's hands.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use super::consumer::Consumer;
use super::nack_options::NackOptions;
use super::views::Views;
use crate::base::{Lot, MessageStore};
use crate::values::{
    ConsumerName, Error, ErrorKind, GroupName, Message, MessageId, Receipt, ReceiptRun, Result, Settled,
    StreamName,
};

/// One message in a consumer's hands, with its attempt number and its receipt.
///
/// It reads like its [`Message`]. Settle it with [`ack`](Self::ack), [`ack_later`](Self::ack_later) or
/// [`nack`](Self::nack); one that is dropped unsettled is neither acked nor lost: its lease ends and it comes again.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://?retry_delay=0s").await?;
/// broker.publish("orders", Message::text("one coffee")).await?;
///
/// for order in broker.read("orders", "billing", 1).await? {
///     order.nack_with(NackOptions::new().reason("the till is closed")).await?;
/// }
/// for order in broker.read("orders", "billing", 1).await? {
///     assert_eq!(order.attempt(), 2);
///     assert_eq!(order.ack().await?, Settled::Acked);
///     assert_eq!(order.ack().await?, Settled::AlreadySettled);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Delivery {
    consumer: Arc<Consumer>,
    store: Arc<dyn MessageStore>,
    place: usize,
    receipt: Receipt,
    /// The true stream, where it is a pattern's match.
    stream: Option<StreamName>,
    /// Whether it still counts as being in somebody's hands.
    held: AtomicBool,
    /// The number of the views that it goes over, which it alone does; else zero.
    views: u64,
}

static MISSING: Message = Message::missing();

impl Delivery {
    #[inline]
    pub(super) fn new(
        consumer: Arc<Consumer>,
        store: Arc<dyn MessageStore>,
        place: usize,
        receipt: Receipt,
        stream: Option<StreamName>,
    ) -> Self {
        Self {
            consumer,
            store,
            place,
            receipt,
            stream,
            held: AtomicBool::new(true),
            views: 0,
        }
    }

    /// A view that goes over the views of this number, and counts as being in nobody's hands.
    #[inline]
    pub(super) fn over(mut self, views: u64) -> Self {
        *self.held.get_mut() = false;
        self.views = views;
        self
    }

    /// Makes a view the next of `views`, if it goes over them.
    #[inline(always)]
    pub(super) fn goes_on(&mut self, views: &Views) -> bool {
        let fits = self.views == views.number;
        if fits {
            self.place = views.place;
            self.receipt = views.receipt;
        }
        fits
    }

    /// Makes a view one of the message at `index` of `lot`, if both lie in one store.
    #[inline]
    pub(super) fn moves_on(
        &mut self,
        consumer: &Arc<Consumer>,
        lot: &Lot,
        index: usize,
        receipt: Receipt,
        views: u64,
    ) -> bool {
        let one_store = std::ptr::addr_eq(Arc::as_ptr(&self.store), Arc::as_ptr(lot.store()));
        let fits = one_store
            && Arc::ptr_eq(&self.consumer, consumer)
            && self.stream.is_none()
            && lot.stream.is_none()
            && !*self.held.get_mut();
        if fits {
            self.place = lot.place(index);
            self.receipt = receipt;
            self.views = views;
        }
        fits
    }

    /// The message.
    #[must_use]
    #[inline]
    pub fn message(&self) -> &Message {
        self.store.message(self.place).unwrap_or(&MISSING)
    }

    /// A second look at the same delivery, for who handles it while another settles it. It counts as being in nobody's
    /// hands: what bounds the prefetch is the first one.
    #[must_use]
    #[inline]
    pub fn view(&self) -> Self {
        Self {
            consumer: Arc::clone(&self.consumer),
            store: Arc::clone(&self.store),
            place: self.place,
            receipt: self.receipt,
            stream: self.stream.clone(),
            held: AtomicBool::new(false),
            views: 0,
        }
    }

    /// The payload read from JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where the payload is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.message().to_json()
    }

    /// The id the broker gave the message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.store.id(self.place, &self.receipt)
    }

    /// How often the message was delivered to this group, this time included; from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.receipt.attempt
    }

    /// What names this delivery, to settle it by [`Broker::ack`](super::Broker::ack).
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// The stream it came from; for a pattern, the one that matched.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        self.stream.as_ref().unwrap_or(&self.consumer.member.stream)
    }

    /// The group it was handed to.
    #[must_use]
    pub fn group(&self) -> &GroupName {
        &self.consumer.member.group
    }

    /// The consumer it was handed to.
    #[must_use]
    pub fn consumer(&self) -> &ConsumerName {
        &self.consumer.member.consumer
    }

    /// When the broker stored it, as far as it tells.
    #[must_use]
    pub fn stored_at(&self) -> Option<SystemTime> {
        self.store.stored_at(self.place)
    }

    /// Settles the message as done, and waits for the broker's answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] without `MESSAGE_ACKNOWLEDGEMENT` or from an independent reader, and what the
    /// connection answers; the delivery can then be settled again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave it settled or not; asking again tells.
    pub async fn ack(&self) -> Result<Settled> {
        let answer = self.consumer.ack(&[self.receipt.into()]).await?;
        self.let_go();
        Ok(answer.get(0).unwrap_or(Settled::NotPending))
    }

    /// Settles the message as done, soon: with the next read, with enough others, or after 10 ms. An ack that fails
    /// is tried again; one that never arrives means that the message comes again.
    #[inline]
    pub fn ack_later(mut self) {
        if self.consumer.settles() && std::mem::take(self.held.get_mut()) {
            self.consumer.ack_later(self.receipt);
        }
    }

    /// Refuses the message: it comes again after the configured back-off, or goes to the dead letters when its
    /// attempts are used up.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack), with `MESSAGE_REJECTION`.
    pub async fn nack(&self) -> Result<Settled> {
        self.nack_with(NackOptions::new()).await
    }

    /// Refuses the message as `options` say.
    ///
    /// # Errors
    ///
    /// As [`nack`](Self::nack).
    pub async fn nack_with(&self, options: NackOptions) -> Result<Settled> {
        let answer = self.consumer.nack(self.receipt, &options).await?;
        self.let_go();
        Ok(answer)
    }

    /// Lets the lease end no sooner than `by` from now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] without `LEASE_EXTENSION`; [`ErrorKind::Stale`] where the lease has ended already.
    pub async fn extend(&self, by: Duration) -> Result<()> {
        let answer = self
            .consumer
            .extend(&[ReceiptRun::from(self.receipt)], by)
            .await?;
        match answer.get(0) {
            Some(Settled::Acked) => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Stale,
                "the lease has ended; the message may be with another consumer",
            )
            .operation("extend")
            .provider(self.consumer.shared.provider)),
        }
    }

    /// Who settles it, and by what.
    pub(super) fn claim(&self) -> (&Arc<Consumer>, Receipt) {
        (&self.consumer, self.receipt)
    }

    fn let_go(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            self.consumer.release(1);
        }
    }
}

impl Deref for Delivery {
    type Target = Message;

    #[inline]
    fn deref(&self) -> &Message {
        self.message()
    }
}

impl Drop for Delivery {
    #[inline]
    fn drop(&mut self) {
        if *self.held.get_mut() && self.consumer.settles() {
            self.consumer.release(1);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("stream", self.stream())
            .field("group", self.group())
            .field("id", &format_args!("{}", self.id()))
            .field("attempt", &self.attempt())
            .field("message", self.message())
            .finish_non_exhaustive()
    }
}
