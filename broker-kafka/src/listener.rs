//! A reader of its own that belongs to no group.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::base::{BoxFuture, Deliveries, Lot, ReadEndpoint};
use broker_core::{Error, ErrorKind, Receipt, ReceiptRun, Result, StartPosition, StreamName};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::{Client, Quiet, blocking, lock};
use crate::intake::{Arrived, Intake};
use crate::{error, offsets};

/// The library wants to be polled now and then, whatever happens.
const NAP: Duration = Duration::from_millis(500);

/// A reader of its own: it sees every message and settles none.
pub(crate) struct Listener {
    client: Arc<Client>,
    consumer: Mutex<Option<BaseConsumer<Quiet>>>,
    arrived: Arc<Notify>,
}

impl Listener {
    /// A listener that sees all that is published after this returns, and from `start` on before that.
    pub(crate) async fn new(
        client: &Arc<Client>,
        stream: &StreamName,
        start: &StartPosition,
    ) -> Result<Self> {
        let topic = client.topic(stream).await?;
        let (own, start) = (Arc::clone(client), start.clone());
        let arrived = Arc::new(Notify::new());
        let waking = Arc::clone(&arrived);
        let consumer = blocking(move || {
            let mut config = own.native.consumer.clone();
            // The library asks for one; without a subscription and a commit no server hears of it.
            config.set("group.id", "broker-listener");
            let mut consumer: BaseConsumer<Quiet> = config
                .create_with_context(Quiet)
                .map_err(|error| error::from_kafka(&error))?;
            consumer.set_nonempty_callback(move || waking.notify_one());
            let mut list = TopicPartitionList::new();
            for (number, at) in offsets::resolve(&consumer, &topic, &start, own.patience())? {
                offsets::add(&mut list, &topic.name, number, at)?;
            }
            consumer
                .assign(&list)
                .map_err(|error| error::from_kafka(&error))?;
            Ok(consumer)
        })
        .await?;
        Ok(Self {
            client: Arc::clone(client),
            consumer: Mutex::new(Some(consumer)),
            arrived,
        })
    }

    async fn next(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let mut closing = std::pin::pin!(self.client.closing.notified());
            closing.as_mut().enable();
            self.client.check_open()?;
            let found = self.look(max);
            match found {
                Ok(deliveries) if deliveries.is_empty() => {}
                Err(error) if error.kind() == ErrorKind::Connection => {
                    self.client.ping(self.client.context.config.ping_timeout).await?;
                }
                answer => return answer,
            }
            if Instant::now() >= deadline {
                return Ok(Deliveries::new());
            }
            tokio::select! {
                () = arrived => {}
                () = tokio::time::sleep_until(deadline.min(Instant::now() + NAP)) => {}
                () = closing => return Err(Error::closed()),
            }
        }
    }

    fn look(&self, max: usize) -> Result<Deliveries> {
        let consumer = lock(&self.consumer);
        let Some(consumer) = consumer.as_ref() else {
            return Err(Error::closed());
        };
        let mut intake = Intake::default();
        let mut trouble = None;
        while intake.len() < max {
            match consumer.poll(Duration::ZERO) {
                Some(Ok(record)) => intake.push(&record),
                Some(Err(failed)) => match failed.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AutoOffsetReset) => {}
                    _ => trouble = Some(error::from_kafka(&failed)),
                },
                None => break,
            }
        }
        let mut deliveries = Deliveries::new();
        for arrived in intake.take() {
            if let Arrived::Chunk(partition, chunk) = arrived {
                let first = Receipt {
                    partition,
                    attempt: 1,
                    sequence: chunk.first,
                    ..Receipt::default()
                };
                let len = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
                deliveries.push(Lot::run(Arc::new(chunk), 0, ReceiptRun { first, len }));
            }
        }
        match trouble {
            Some(error) if deliveries.is_empty() => Err(error),
            _ => Ok(deliveries),
        }
    }
}

impl Drop for Listener {
    /// The library's client blocks while it ends: that is done elsewhere.
    fn drop(&mut self) {
        let consumer = lock(&self.consumer).take();
        self.client.endings.end(consumer);
    }
}

impl ReadEndpoint for Listener {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.next(max, wait))
    }

    fn settles(&self) -> bool {
        false
    }
}
