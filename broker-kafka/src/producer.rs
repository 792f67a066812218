//! The producer, and what it reports of each batch.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::Result;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;

use crate::client::{lock, tell};
use crate::error;
use crate::native::Native;
use crate::statistics::{PRODUCER, Statistics};

/// How many messages one batch has at most: their places take this many bits of what travels with each.
pub(crate) const LARGEST: usize = 1 << 16;

/// A producer: the library's own thread reports to [`Reports`].
pub(crate) struct Producer {
    inner: ThreadedProducer<Reports>,
}

/// One record to send.
pub(crate) struct Record<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: Option<OwnedHeaders>,
}

impl Producer {
    pub(crate) fn new(native: &Native, statistics: &Arc<Statistics>) -> Result<Self> {
        let reports = Reports {
            statistics: Some(Arc::clone(statistics)),
            ..Reports::default()
        };
        let inner = native.producer.create_with_context(reports);
        Ok(Self {
            inner: inner.map_err(|error| error::from_kafka(&error))?,
        })
    }

    /// A producer whose transactions go by `name`.
    pub(crate) fn transactional(native: &Native, name: &str) -> Result<Self> {
        let config = native.transactional(name);
        let inner = config.create_with_context(Reports::default());
        Ok(Self {
            inner: inner.map_err(|error| error::from_kafka(&error))?,
        })
    }

    /// Whether it failed for good.
    pub(crate) fn has_failed(&self) -> bool {
        self.reports().failed.load(Ordering::Acquire)
    }

    /// Begins a batch of `len` messages.
    pub(crate) fn begin(&self, len: usize) -> Handing<'_> {
        let reports = self.reports();
        Handing {
            batch: reports.begin(len),
            reports,
            handed: AtomicUsize::new(0),
            len,
        }
    }

    /// Hands the message at `index` of `batch` over; waits while the buffer is full.
    pub(crate) async fn send(&self, batch: &Handing<'_>, index: usize, record: Record<'_>) {
        let mut to_send: BaseRecord<'_, [u8], [u8], usize> = BaseRecord {
            topic: record.topic,
            partition: record.partition,
            payload: record.payload,
            key: record.key,
            timestamp: None,
            headers: record.headers,
            delivery_opaque: batch.slot << 16 | index,
        };
        let reports = self.reports();
        loop {
            to_send = match self.inner.send(to_send) {
                Ok(()) => {
                    batch.handed.store(index + 1, Ordering::Relaxed);
                    return;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => back,
                Err((error, _)) => {
                    let code = error
                        .rdkafka_error_code()
                        .unwrap_or(RDKafkaErrorCode::InvalidMessage);
                    batch.handed.store(index + 1, Ordering::Relaxed);
                    reports.settle(&batch.batch, index, Err((code, true)));
                    return;
                }
            };
            let mut room = std::pin::pin!(reports.room.notified());
            room.as_mut().enable();
            reports.waiting.fetch_add(1, Ordering::SeqCst);
            let _leave = Leave(&reports.waiting);
            // Reports may have freed the room before anybody said that it is waited for.
            if self.inner.in_flight_count() > 0 {
                let _ = tokio::time::timeout(Duration::from_millis(50), room).await;
            }
        }
    }

    /// Sends what waits; blocks until that is done, or the time is up.
    pub(crate) fn flush(&self, within: Duration) {
        if let Err(error) = self.inner.flush(within) {
            tracing::warn!(%error, "not everything was sent before the producer was closed");
        }
    }

    /// The library's own producer.
    pub(crate) fn library(&self) -> &ThreadedProducer<Reports> {
        &self.inner
    }

    fn reports(&self) -> &Reports {
        self.inner.client().context()
    }
}

/// Somebody who waits for room, until it goes.
struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A batch that is being handed over. What is not by the time this goes, as its future was dropped, never will be: its
/// places are given up, so that the batch ends.
pub(crate) struct Handing<'p> {
    batch: Arc<Batch>,
    reports: &'p Reports,
    handed: AtomicUsize,
    len: usize,
}

impl std::ops::Deref for Handing<'_> {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        for index in *self.handed.get_mut()..self.len {
            self.reports
                .settle(&self.batch, index, Err((RDKafkaErrorCode::PurgeQueue, true)));
        }
    }
}

/// Messages that were handed over together: one counter for all of them.
pub(crate) struct Batch {
    slot: usize,
    left: AtomicUsize,
    offsets: Box<[AtomicU64]>,
    failures: Mutex<Vec<(usize, RDKafkaErrorCode, bool)>>,
    done: Notify,
}

impl Batch {
    /// Waits until all of its messages are stored or given up.
    pub(crate) async fn done(&self) {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if self.left.load(Ordering::Acquire) == 0 {
                return;
            }
            done.await;
        }
    }

    /// The offset of the message at `index`, if it was stored.
    pub(crate) fn offset(&self, index: usize) -> Option<u64> {
        self.offsets
            .get(index)
            .map(|offset| offset.load(Ordering::Relaxed))
    }

    /// The messages that were not stored, with the reason and whether that is certain, by their places.
    pub(crate) fn failures(&self) -> Vec<(usize, RDKafkaErrorCode, bool)> {
        let mut failures = std::mem::take(&mut *lock(&self.failures));
        failures.sort_unstable_by_key(|(index, ..)| *index);
        failures
    }
}

/// What the library reports of each message.
#[derive(Default)]
pub(crate) struct Reports {
    batches: Mutex<Batches>,
    /// The batch that was reported on last: reports of one batch follow on one another.
    last: Mutex<Option<Arc<Batch>>>,
    room: Notify,
    waiting: AtomicUsize,
    failed: AtomicBool,
    statistics: Option<Arc<Statistics>>,
}

#[derive(Default)]
struct Batches {
    slots: Vec<Option<Arc<Batch>>>,
    free: Vec<usize>,
}

impl Reports {
    fn begin(&self, len: usize) -> Arc<Batch> {
        let mut batches = lock(&self.batches);
        let slot = batches.free.pop().unwrap_or(batches.slots.len());
        let batch = Arc::new(Batch {
            slot,
            left: AtomicUsize::new(len),
            offsets: (0..len).map(|_| AtomicU64::new(0)).collect(),
            failures: Mutex::default(),
            done: Notify::new(),
        });
        match batches.slots.get_mut(slot) {
            // Nothing will ever be reported of it.
            _ if len == 0 => batches.free.push(slot),
            Some(place) => *place = Some(Arc::clone(&batch)),
            None => batches.slots.push(Some(Arc::clone(&batch))),
        }
        batch
    }

    fn settle(
        &self,
        batch: &Arc<Batch>,
        index: usize,
        outcome: std::result::Result<u64, (RDKafkaErrorCode, bool)>,
    ) {
        match outcome {
            Ok(offset) => {
                if let Some(place) = batch.offsets.get(index) {
                    place.store(offset, Ordering::Relaxed);
                }
            }
            Err((code, certain)) => lock(&batch.failures).push((index, code, certain)),
        }
        if batch.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut batches = lock(&self.batches);
            if let Some(place) = batches.slots.get_mut(batch.slot) {
                *place = None;
                batches.free.push(batch.slot);
            }
            drop(batches);
            batch.done.notify_waiters();
        }
    }

    fn batch(&self, slot: usize) -> Option<Arc<Batch>> {
        let mut last = lock(&self.last);
        if let Some(batch) = last
            .as_ref()
            .filter(|batch| batch.slot == slot && batch.left.load(Ordering::Relaxed) > 0)
        {
            return Some(Arc::clone(batch));
        }
        let batch = lock(&self.batches).slots.get(slot).cloned().flatten();
        last.clone_from(&batch);
        batch
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tell(level, facility, message);
    }

    fn stats_raw(&self, text: &[u8]) {
        if let Some(statistics) = &self.statistics {
            statistics.take(PRODUCER, text);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::error!(%error, reason, "the producer failed for good");
            self.failed.store(true, Ordering::Release);
        } else {
            tracing::debug!(%error, reason, "librdkafka");
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let Some(batch) = self.batch(opaque >> 16) else {
            return;
        };
        let outcome = match result {
            Ok(message) => Ok(u64::try_from(message.offset()).unwrap_or(0)),
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                Err((code, error::is_certain(code)))
            }
        };
        self.settle(&batch, opaque & (LARGEST - 1), outcome);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.room.notify_waiters();
        }
    }
}
