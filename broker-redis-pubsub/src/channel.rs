//! Mode `channel`: Redis' own channels and patterns, with a bounded buffer for each listener.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use broker_core::base::{BoxFuture, Deliveries, ListenRequest, Lot, ReadEndpoint, Source};
use broker_core::{
    BrokerEvent, Capabilities, Error, Message, MessageId, Receipt, Result, StartPosition, StreamName,
    StreamPattern,
};
use broker_redis_common::{Hub, Listener, Topic};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::SharedClient;
use crate::codec;
use crate::config::RedisPubsubConfig;

/// What all listeners of one broker were sent and had no room for.
pub(crate) type Dropped = Arc<AtomicU64>;

/// Somebody who listens to a channel or to all that match a pattern.
pub(crate) struct ChannelListener {
    ear: Arc<Ear>,
}

struct Ear {
    client: SharedClient,
    pattern: Option<StreamPattern>,
    /// What events call the source.
    stream: StreamName,
    most: usize,
    most_bytes: usize,
    dropped: Dropped,
    heard: Mutex<Heard>,
    notify: Notify,
}

#[derive(Default)]
struct Heard {
    messages: VecDeque<(StreamName, Option<MessageId>, Message)>,
    bytes: usize,
    next: u64,
    overflowing: bool,
}

impl ChannelListener {
    /// Listens from now on: returns once the server has confirmed that.
    pub(crate) async fn start(
        client: &SharedClient,
        hub: &Hub,
        config: &RedisPubsubConfig,
        dropped: &Dropped,
        request: &ListenRequest,
    ) -> Result<Self> {
        if request.start != StartPosition::Latest {
            return Err(Error::unsupported(Capabilities::REPLAY));
        }
        let (topic, pattern, stream) = match &request.source {
            Source::Stream(stream) => (Topic::Channel(stream.as_str().to_owned()), None, stream.clone()),
            Source::Pattern(pattern) => (
                Topic::Pattern(pattern.as_str().to_owned()),
                Some(pattern.clone()),
                StreamName::new(pattern.as_str().replace('*', "_"))?,
            ),
        };
        let ear = Arc::new(Ear {
            client: Arc::clone(client),
            pattern,
            stream,
            most: config.buffer,
            most_bytes: config.buffer_bytes,
            dropped: Arc::clone(dropped),
            heard: Mutex::default(),
            notify: Notify::new(),
        });
        let listener: Arc<dyn Listener> = Arc::<Ear>::clone(&ear);
        hub.subscribe(topic, &listener).await?;
        Ok(Self { ear })
    }
}

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gap(&self, since: SystemTime, lasted: Duration) {
        self.client.tell(BrokerEvent::Gap {
            stream: self.stream.clone(),
            since,
            lasted,
        });
    }

    /// Takes out what was heard, as lots of one stream each.
    fn take(&self, max: usize) -> Deliveries {
        let mut heard = self.heard();
        let count = heard.messages.len().min(max);
        let mut deliveries = Deliveries::new();
        let mut part: Option<Part> = None;
        for _ in 0..count {
            let Some((stream, id, message)) = heard.messages.pop_front() else {
                break;
            };
            heard.bytes = heard.bytes.saturating_sub(message.size());
            let receipt = Receipt {
                sequence: heard.next,
                attempt: 1,
                ..Receipt::default()
            };
            heard.next += 1;
            let same = part.as_ref().is_some_and(|part| part.stream == stream);
            if !same && let Some(full) = part.take() {
                deliveries.push(full.lot());
            }
            let part = part.get_or_insert_with(|| Part::new(stream));
            part.messages
                .push((id.unwrap_or_else(|| receipt.offset_id()), message));
            part.receipts.push(receipt);
        }
        if let Some(full) = part {
            deliveries.push(full.lot());
        }
        deliveries
    }
}

impl Listener for Ear {
    fn hear(&self, channel: &str, payload: &[u8]) {
        // Redis' star goes over dots, ours does not.
        if self
            .pattern
            .as_ref()
            .is_some_and(|pattern| !pattern.matches(channel))
        {
            return;
        }
        let Ok(stream) = StreamName::new(channel) else {
            return;
        };
        let (id, message) = codec::decode(payload.to_vec());
        let size = message.size();
        let mut heard = self.heard();
        let full = heard.messages.len() >= self.most || heard.bytes.saturating_add(size) > self.most_bytes;
        let began = full && !heard.overflowing;
        heard.overflowing = full;
        if !full {
            heard.bytes += size;
            heard.messages.push_back((stream, id, message));
        }
        drop(heard);
        if full {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.notify.notify_waiters();
        }
        if began {
            self.gap(SystemTime::now(), Duration::ZERO);
        }
    }

    fn missed(&self, since: SystemTime, lasted: Duration) {
        self.gap(since, lasted);
    }
}

/// Neighbours of one stream.
struct Part {
    stream: StreamName,
    messages: Vec<(MessageId, Message)>,
    receipts: Vec<Receipt>,
}

impl Part {
    fn new(stream: StreamName) -> Self {
        Self {
            stream,
            messages: Vec::new(),
            receipts: Vec::new(),
        }
    }

    fn lot(self) -> Lot {
        let mut lot = Lot::each(Arc::new(self.messages), self.receipts);
        lot.stream = Some(self.stream);
        lot
    }
}

impl ReadEndpoint for ChannelListener {
    fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        let deliveries = self.ear.take(max);
        (!deliveries.is_empty()).then_some(Ok(deliveries))
    }

    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(async move {
            let until = Instant::now() + wait;
            loop {
                let mut told = std::pin::pin!(self.ear.notify.notified());
                told.as_mut().enable();
                self.ear.client.check_open()?;
                let deliveries = self.ear.take(max);
                if !deliveries.is_empty() || max == 0 {
                    return Ok(deliveries);
                }
                if tokio::time::timeout_at(until, told).await.is_err() {
                    return Ok(self.ear.take(max));
                }
            }
        })
    }

    fn settles(&self) -> bool {
        false
    }
}
