//! Entries as the server hands them out, and batches of them.

use std::sync::Arc;
use std::time::SystemTime;

use broker_core::base::{Deliveries, Lot, MessageStore};
use broker_core::{Message, MessageId, Receipt, Result};
use redis::Value;

use crate::codec::{self, Content, Payloads};
use crate::time::{EntryId, IdReader, moment};
use crate::{error, reply};

/// An entry that was handed to a member.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) message: Message,
    /// The only group it is for, if it is not for all.
    pub(crate) only_for: Option<bytes::Bytes>,
    /// The server's delivery counter.
    pub(crate) count: u32,
    /// How many of these deliveries count.
    pub(crate) attempt: u32,
}

/// A batch's messages; ids and times are in the receipts' numbers.
pub(crate) struct Entries {
    partition: Option<u32>,
    messages: Vec<(u64, Message)>,
}

impl MessageStore for Entries {
    fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index).map(|(_, message)| message)
    }

    fn id(&self, _: usize, receipt: &Receipt) -> MessageId {
        EntryId {
            ms: receipt.major,
            seq: receipt.sequence,
        }
        .to_message_id(self.partition)
    }

    fn stored_at(&self, index: usize) -> Option<SystemTime> {
        self.messages.get(index).map(|(ms, _)| moment(*ms))
    }
}

impl Entries {
    /// A batch of entries with their fences.
    pub(crate) fn deliver(
        partition: Option<u32>,
        entries: Vec<Entry>,
        fence: impl Fn(&Entry) -> u64,
    ) -> Deliveries {
        let receipts = entries.iter().map(|entry| Receipt {
            partition: partition.unwrap_or(0),
            attempt: entry.attempt,
            sequence: entry.id.seq,
            major: entry.id.ms,
            fence: fence(entry),
        });
        let receipts: Vec<_> = receipts.collect();
        let messages = entries.into_iter().map(|entry| (entry.id.ms, entry.message));
        let store = Self {
            partition,
            messages: messages.collect(),
        };
        Deliveries::one(Lot::each(Arc::new(store), receipts))
    }
}

/// Reads the entries of one stream out of the answer to `XREADGROUP` or `XREAD`.
///
/// An entry whose body is gone is left out; claiming finds and settles it.
pub(crate) fn of_stream(answer: Value, command: &'static str) -> Result<Vec<Entry>> {
    let mut parts = reply::items(answer, command)?.into_iter();
    let Some(first) = parts.next() else {
        return Ok(Vec::new());
    };
    // A map of the newer protocol comes flat, as name and entries; the older one nests each pair.
    let entries = match first {
        Value::Array(pair) => pair.into_iter().nth(1),
        _ => parts.next(),
    };
    of_range(entries.unwrap_or_default(), command)
}

/// Reads a list of entries, as `XRANGE` answers it.
pub(crate) fn of_range(answer: Value, command: &'static str) -> Result<Vec<Entry>> {
    let entries = reply::items(answer, command)?;
    let mut read = Vec::with_capacity(entries.len());
    let (mut ids, mut payloads) = (IdReader::default(), Payloads::default());
    for entry in entries {
        let (id, fields) = text_and_fields(entry).ok_or_else(|| error::odd_reply(command))?;
        let id = ids.read(&id).ok_or_else(|| error::odd_reply(command))?;
        if let Some(Content { message, only_for }) = codec::decode_into(fields, &mut payloads) {
            read.push(Entry {
                id,
                message,
                only_for,
                count: 1,
                attempt: 1,
            });
        }
    }
    Ok(read)
}

/// Takes an entry apart; one without a body has no fields.
pub(crate) fn id_and_fields(entry: Value) -> Option<(EntryId, Vec<Value>)> {
    let (id, fields) = text_and_fields(entry)?;
    Some((EntryId::parse(&id)?, fields))
}

fn text_and_fields(entry: Value) -> Option<(Vec<u8>, Vec<Value>)> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let mut parts = parts.into_iter();
    let Value::BulkString(id) = parts.next()? else {
        return None;
    };
    let fields = match parts.next()? {
        Value::Array(fields) => fields,
        _ => Vec::new(),
    };
    Some((id, fields))
}
