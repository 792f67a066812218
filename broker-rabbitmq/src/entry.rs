//! Messages as a session hands them out, and batches of them.

use std::sync::Arc;
use std::time::SystemTime;

use broker_core::base::{Deliveries, Lot, MessageStore};
use broker_core::{Message, MessageId, Receipt};
use broker_window::Chunk;
use lapin::message::Delivery;

use crate::codec::{self, Content};
use crate::config::QueueType;
use crate::meta::{Identity, Meta};

/// A message that the server gave to a session.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The server's number of this delivery on the session's channel.
    pub(crate) tag: u64,
    pub(crate) message: Message,
    pub(crate) meta: Meta,
    /// How often the message was handed out, this time included.
    pub(crate) attempt: u32,
    /// How often it came back to the server.
    pub(crate) count: u32,
    /// Whether it came back from a consumer that is gone, and the server does not tell how often.
    pub(crate) uncounted: bool,
    stored_at: Option<SystemTime>,
}

impl Entry {
    /// Reads what the server delivered.
    pub(crate) fn new(delivery: Delivery, queue_type: QueueType) -> Self {
        let content = codec::decode(delivery.data, &delivery.properties);
        let Content {
            message,
            meta,
            count,
            stored_at,
        } = content;
        // A classic queue tells that it was delivered before, and not how often.
        let count = match queue_type {
            QueueType::Classic => count.max(u32::from(delivery.redelivered)),
            QueueType::Quorum | QueueType::Stream => count,
        };
        Self {
            tag: delivery.delivery_tag,
            uncounted: queue_type == QueueType::Classic && delivery.redelivered,
            count,
            attempt: meta.attempts.saturating_add(count).saturating_add(1),
            message,
            meta,
            stored_at,
        }
    }

    /// Which message it is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.meta.identity()
    }

    /// It was handed out as this attempt before, whatever the server says.
    pub(crate) fn was_seen(&mut self, attempt: u32) {
        if self.attempt <= attempt {
            self.attempt = attempt.saturating_add(1);
            self.uncounted = true;
        }
    }
}

/// A batch's messages.
#[derive(Debug)]
pub(crate) struct Entries(Vec<Entry>);

impl MessageStore for Entries {
    fn message(&self, index: usize) -> Option<&Message> {
        self.0.get(index).map(|entry| &entry.message)
    }

    fn id(&self, index: usize, receipt: &Receipt) -> MessageId {
        let entry = self.0.get(index);
        entry.map_or_else(|| receipt.offset_id(), |entry| entry.meta.id.clone())
    }

    fn stored_at(&self, index: usize) -> Option<SystemTime> {
        self.0.get(index).and_then(|entry| entry.stored_at)
    }
}

impl Chunk for Entries {
    /// Before this session had it.
    fn before(&self, index: usize) -> u32 {
        self.get(index).map_or(0, |entry| entry.attempt.saturating_sub(1))
    }
}

impl Entries {
    pub(crate) fn new(entries: Vec<Entry>) -> Arc<Self> {
        Arc::new(Self(entries))
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.0.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The batch as the port has it.
    pub(crate) fn deliver(self: Arc<Self>, fence: u64) -> Deliveries {
        let receipts = self.0.iter().map(|entry| Receipt {
            partition: 0,
            attempt: entry.attempt,
            sequence: entry.tag,
            major: 0,
            fence,
        });
        let receipts = receipts.collect();
        Deliveries::one(Lot::each(self, receipts))
    }
}
