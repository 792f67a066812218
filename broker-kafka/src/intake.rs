//! From the library's records to chunks.

use std::ops::Range;

use broker_core::Message;
use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;

use crate::chunk::Chunk;
use crate::codec;
use crate::places::retry_number;
use crate::retry::Retried;
use crate::topic::Topic;

/// The most bytes of one chunk: it is freed as a whole.
const PIECE: usize = 256 * 1024;
/// For how many runs at a time memory is taken before it is known how much they need.
const RESERVED: usize = 4;
/// The most messages of one chunk.
const MESSAGES: usize = 1024;

/// Records on their way into chunks: their bytes are copied into one piece per chunk.
///
/// The library's own memory could be lent out instead, but it belongs to the client: one message that a handler keeps
/// would keep the client from ending, and each would cost an allocation of its own.
#[derive(Default)]
pub(crate) struct Intake {
    /// The group that reads; what is for another one is passed over.
    group: Vec<u8>,
    /// Its retry topic.
    retry: Option<String>,
    runs: Vec<Building>,
    count: usize,
    /// The bytes and messages of the runs that were taken last, on average: the next ones are likely to be alike.
    usual: (usize, usize),
}

/// What came in of a partition, in order.
pub(crate) enum Arrived {
    /// Messages.
    Chunk(u32, Chunk),
    /// An offset whose message is not for this group.
    Passed(u32, u64),
}

#[derive(Default)]
struct Building {
    partition: u32,
    first: u64,
    /// Set where it is one message that is not for this group.
    passed: bool,
    bytes: Vec<u8>,
    places: Vec<Place>,
    times: Vec<i64>,
    retried: Vec<Retried>,
}

struct Place {
    payload: Range<usize>,
    key: Option<Range<usize>>,
    /// A message with headers, whose payload and key are still to be set. Few have one: a box keeps the others small.
    rich: Option<Box<Message>>,
}

impl Intake {
    pub(crate) fn new(group: &str, retry: Option<&Topic>) -> Self {
        Self {
            group: group.as_bytes().to_vec(),
            retry: retry.map(|topic| topic.name.clone()),
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Takes one record in.
    pub(crate) fn push(&mut self, record: &BorrowedMessage<'_>) {
        let (Ok(mut partition), Ok(offset)) =
            (u32::try_from(record.partition()), u64::try_from(record.offset()))
        else {
            return;
        };
        self.count += 1;
        let mut retried = None;
        if self.retry.as_deref().is_some_and(|topic| topic == record.topic()) {
            partition = retry_number(partition);
            retried = Some(Retried::default());
        }
        let mut rich = None;
        if let Some(headers) = record.headers() {
            let pairs = codec::pairs(headers).into_iter();
            let (message, framework) = codec::decode(Message::default(), pairs, |name, value| {
                retried.as_mut().is_some_and(|retried| retried.take(name, value))
            });
            if framework.only_for.is_some_and(|group| group != self.group) {
                self.runs.push(Building {
                    partition,
                    first: offset,
                    passed: true,
                    ..Building::default()
                });
                return;
            }
            rich = Some(Box::new(message));
        }
        let payload = record.payload();
        if payload.is_none() {
            rich = Some(Box::new(codec::mark_null(*rich.unwrap_or_default())));
        }
        let run = self.run_for(partition, offset);
        let place = Place {
            payload: append(&mut run.bytes, payload.unwrap_or_default()),
            key: record.key().map(|key| append(&mut run.bytes, key)),
            rich,
        };
        run.places.push(place);
        let stored = retried.as_ref().and_then(|retried| retried.stored);
        let stored = stored.or_else(|| record.timestamp().to_millis());
        run.times.push(stored.unwrap_or(-1));
        run.retried.extend(retried);
    }

    /// What came in since the last time.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Arrived> + use<> {
        self.count = 0;
        let (mut bytes, mut count) = (0, 0);
        for run in &self.runs {
            bytes += run.bytes.len();
            count += run.places.len();
        }
        let runs = self.runs.len().max(1);
        self.usual = (bytes / runs, count / runs);
        std::mem::take(&mut self.runs).into_iter().map(Building::finish)
    }

    fn run_for(&mut self, partition: u32, offset: u64) -> &mut Building {
        let fits = self.runs.last().is_some_and(|run| {
            !run.passed
                && run.partition == partition
                && run.first + run.places.len() as u64 == offset
                && run.places.len() < MESSAGES
                && run.bytes.len() < PIECE
        });
        if !fits {
            // Were partitions to take turns from one message to the next, this much for each would be too much.
            let (bytes, count) = if self.runs.len() < RESERVED {
                self.usual
            } else {
                (0, 0)
            };
            self.runs.push(Building {
                partition,
                first: offset,
                bytes: Vec::with_capacity(bytes.min(PIECE)),
                places: Vec::with_capacity(count),
                times: Vec::with_capacity(count),
                ..Building::default()
            });
        }
        let last = self.runs.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "one was pushed if there was none")]
        &mut self.runs[last]
    }
}

impl Building {
    fn finish(self) -> Arrived {
        if self.passed {
            return Arrived::Passed(self.partition, self.first);
        }
        let all = Bytes::from(self.bytes);
        let bytes = all.len() + self.places.len() * size_of::<Message>();
        let messages = self.places.into_iter().map(|place| {
            let payload = all.slice(place.payload);
            let mut message = Message::new(payload);
            if let Some(rich) = place.rich {
                message = dress(message, *rich);
            }
            if let Some(key) = place.key {
                message = message.key(all.slice(key));
            }
            message
        });
        Arrived::Chunk(
            self.partition,
            Chunk {
                first: self.first,
                messages: messages.collect(),
                times: self.times,
                bytes,
                retried: self.retried,
            },
        )
    }
}

/// The message with the other one's metadata.
fn dress(mut message: Message, mut rich: Message) -> Message {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let parts = (
        owned(rich.message_id()),
        owned(rich.message_kind()),
        owned(rich.media_type()),
    );
    if !rich.headers().is_empty() {
        *message.headers_mut() = std::mem::take(rich.headers_mut());
    }
    if let Some(id) = parts.0 {
        message = message.id(id);
    }
    if let Some(kind) = parts.1 {
        message = message.kind(kind);
    }
    if let Some(media_type) = parts.2 {
        message = message.content_type(media_type);
    }
    message
}

fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(more);
    start..bytes.len()
}
