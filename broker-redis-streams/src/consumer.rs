//! A member of a group over all partitions of its stream.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{Deliveries, Disposition, Membership};
use broker_core::{Failure, ReceiptRun, Result, Settled, Settlements};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::client::Client;
use crate::ownership::Ownership;
use crate::reader::{Hands, Reader};

/// A member of a group: one reader for each partition.
///
/// A stream with one partition is a plain Redis group, whose members compete. Of several partitions, each belongs to
/// one member at a time.
pub(crate) struct Consumer {
    client: Arc<Client>,
    readers: Vec<Arc<Reader>>,
    ownership: Option<Arc<Ownership>>,
}

impl Consumer {
    /// Joins the group in every partition; it is made where it is not there.
    pub(crate) async fn join(client: &Arc<Client>, member: &Membership) -> Result<Arc<Self>> {
        let topic = client.topic(&member.stream).await?;
        let mut readers = Vec::with_capacity(topic.len());
        for partition in topic.iter() {
            readers.push(Reader::join(client, partition, member).await?);
        }
        let ownership = (topic.len() > 1).then(|| Arc::new(Ownership::new(client, &readers, member)));
        let consumer = Arc::new(Self {
            client: Arc::clone(client),
            readers,
            ownership,
        });
        if let Some(ownership) = &consumer.ownership {
            let readers = consumer.readers.iter().map(Arc::downgrade).collect();
            client.spawn(Ownership::watch(Arc::downgrade(ownership), readers));
        }
        client.add_consumer(&consumer);
        Ok(consumer)
    }

    /// Hands out up to `max` messages, waiting up to `wait` for the first.
    pub(crate) async fn read(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        let Some(ownership) = &self.ownership else {
            return match self.readers.first() {
                Some(reader) => reader.read(max, wait, wait).await,
                None => Ok(Deliveries::new()),
            };
        };
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        loop {
            self.client.check_open()?;
            ownership.ask();
            let owned = ownership.keep(&self.readers).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let turn = left.min(ownership.interval());
            let reads = owned.iter().filter_map(|number| self.reader(*number));
            // What the others find meanwhile stays with them for the next call.
            let mut reads: FuturesUnordered<_> = reads.map(|reader| reader.read(max, turn, left)).collect();
            if reads.is_empty() {
                tokio::time::sleep(turn).await;
            }
            while let Some(read) = reads.next().await {
                let deliveries = read?;
                if !deliveries.is_empty() {
                    return Ok(deliveries);
                }
            }
            if Instant::now() >= deadline {
                return Ok(Deliveries::new());
            }
        }
    }

    /// Marks deliveries as done.
    pub(crate) async fn ack(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.by_partition(runs, Settling::Ack).await
    }

    /// Refuses deliveries.
    pub(crate) async fn nack(
        &self,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        self.by_partition(runs, Settling::Nack(disposition, failure))
            .await
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) async fn extend(&self, runs: &[ReceiptRun], by: Duration) -> Result<Settlements> {
        self.by_partition(runs, Settling::Extend(by)).await
    }

    /// Gives back what nobody has seen, and the partitions to the others.
    pub(crate) async fn leave(&self) {
        for reader in &self.readers {
            reader.empty_hands().await;
        }
        if let Some(ownership) = &self.ownership
            && let Err(error) = ownership.leave().await
        {
            tracing::debug!(%error, "partitions were not given up; they are when the lease ends");
        }
    }

    /// Gives the partitions to the others, once the readers have emptied their hands by themselves.
    fn give_up(&mut self) {
        if let Some(ownership) = self.ownership.take() {
            self.client.spawn(async move {
                let _ = ownership.leave().await;
            });
        }
    }

    fn reader(&self, number: u32) -> Option<&Arc<Reader>> {
        self.readers.get(usize::try_from(number).ok()?)
    }

    /// Settles each partition's runs by its own reader, and puts the answers into the order of the runs.
    async fn by_partition(&self, runs: &[ReceiptRun], settling: Settling<'_>) -> Result<Settlements> {
        if let [reader] = self.readers.as_slice() {
            return settling.run(&reader.hands, runs).await;
        }
        if let Some(ownership) = &self.ownership {
            // A member that settles is alive, also while it does not read.
            ownership.keep(&self.readers).await?;
        }
        let mut answers: Vec<Vec<Settled>> = Vec::with_capacity(self.readers.len());
        for (number, reader) in self.readers.iter().enumerate() {
            let own = |run: &&ReceiptRun| usize::try_from(run.first.partition) == Ok(number);
            let own: Vec<_> = runs.iter().filter(own).copied().collect();
            let settled = match own.is_empty() {
                true => Vec::new(),
                false => settling.run(&reader.hands, &own).await?.iter().collect(),
            };
            answers.push(settled);
        }
        let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
        let mut settlements = Settlements::all(Settled::Acked, 0);
        for receipt in runs.iter().flat_map(|run| run.iter()) {
            let place = usize::try_from(receipt.partition).unwrap_or(usize::MAX);
            let answer = answers.get_mut(place).and_then(Iterator::next);
            settlements.push(answer.unwrap_or(Settled::NotPending));
        }
        Ok(settlements)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.client.check_open().is_ok() {
            self.give_up();
        }
    }
}

/// How deliveries are settled.
#[derive(Clone, Copy)]
enum Settling<'a> {
    Ack,
    Nack(Disposition, &'a Failure),
    Extend(Duration),
}

impl Settling<'_> {
    async fn run(self, hands: &Hands, runs: &[ReceiptRun]) -> Result<Settlements> {
        match self {
            Self::Ack => hands.ack(runs).await,
            Self::Nack(disposition, failure) => hands.nack(runs, disposition, failure).await,
            Self::Extend(by) => hands.extend(runs, by).await,
        }
    }
}
