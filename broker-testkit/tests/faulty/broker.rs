//! A good broker with a known bug.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use broker_core::base::{
    BaseBroker, Deliveries, Disposition, DynBroker, Families, HealthReport, Membership, Nack, PublishBatch,
    ReadRequest, Settle,
};
use broker_core::{
    Capabilities, ConsumerName, Error, ErrorKind, Published, Receipt, ReceiptRun, Result, Retry, Settled,
    Settlements,
};

use super::fault::Fault;

/// A good broker with a known bug, or without one.
pub(crate) struct FaultyBroker {
    pub(crate) inner: Arc<dyn DynBroker>,
    pub(crate) fault: Option<Fault>,
    /// Whether the server is down.
    pub(crate) down: Arc<AtomicBool>,
    pub(crate) published: AtomicUsize,
    /// Answers on their way to whoever asks next.
    pub(crate) answers: Mutex<VecDeque<Result<Published>>>,
    pub(crate) closed: Arc<AtomicBool>,
    pub(crate) reading: tokio::sync::Mutex<()>,
}

/// A message of a group: stream, group, partition, position.
type Place = (String, String, u32, u64, u64);

/// What was handed out last, by message; names of streams are unique, so all brokers of this process share it.
static HANDED_OUT: LazyLock<Mutex<BTreeMap<Place, (Receipt, ConsumerName)>>> = LazyLock::new(Mutex::default);

impl FaultyBroker {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn check_server(&self) -> Result<()> {
        if self.down.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Connection, "the server is down").retry(Retry::Safe));
        }
        Ok(())
    }

    /// A settlement as this broker misunderstands it.
    fn misread(&self, settle: Settle<'_>) -> (Membership, Vec<ReceiptRun>) {
        let mut member = self.mistaken(settle.member);
        let handed_out = HANDED_OUT.lock().unwrap();
        let mut receipts: Vec<_> = settle.receipts().collect();
        for receipt in &mut receipts {
            let Some((current, consumer)) = handed_out.get(&place(&member, receipt)) else {
                continue;
            };
            match self.fault {
                Some(Fault::AttemptsAlwaysOne | Fault::LateAckSettlesLater) => *receipt = *current,
                Some(Fault::AnybodySettles) => member.consumer = consumer.clone(),
                _ => {}
            }
        }
        if self.has(Fault::AckCoversEarlier) {
            let earlier = |place: &Place, current: &Receipt| {
                place.0 == member.stream.as_str()
                    && place.1 == member.group.as_str()
                    && receipts.iter().any(|receipt| {
                        receipt.partition == current.partition && receipt.sequence > current.sequence
                    })
            };
            let covered: Vec<_> = handed_out
                .iter()
                .filter(|(place, (current, _))| earlier(place, current))
                .map(|(_, (current, _))| *current)
                .collect();
            receipts.extend(covered);
        }
        (member, receipts.into_iter().map(ReceiptRun::from).collect())
    }

    fn mistaken(&self, member: &Membership) -> Membership {
        let mut member = member.clone();
        match self.fault {
            Some(Fault::SharesGroups) => member.group = "the-only-group".try_into().unwrap(),
            Some(Fault::LeaseNeverEnds) => member.lease = Duration::from_secs(3_600),
            Some(Fault::LeaseEndsAtOnce) => member.lease = Duration::from_millis(1),
            Some(Fault::IgnoresParkedKeys) => member.ordering = broker_core::Ordering::Publish,
            _ => {}
        }
        member
    }
}

fn place(member: &Membership, receipt: &Receipt) -> Place {
    (
        member.stream.to_string(),
        member.group.to_string(),
        receipt.partition,
        receipt.major,
        receipt.sequence,
    )
}

/// Notes what was handed out, and lists its receipts.
fn remember(member: &Membership, deliveries: &Deliveries) -> Vec<Receipt> {
    let mut handed_out = HANDED_OUT.lock().unwrap();
    let mut receipts = Vec::new();
    for lot in deliveries.lots() {
        for receipt in (0..lot.len()).filter_map(|index| lot.receipt(index)) {
            handed_out.insert(place(member, &receipt), (receipt, member.consumer.clone()));
            receipts.push(receipt);
        }
    }
    receipts
}

impl BaseBroker for FaultyBroker {
    fn capabilities(&self) -> Capabilities {
        // Independent readers and patterns go past the methods in which the bugs are.
        let all =
            (self.inner.capabilities() - Capabilities::PATTERN_SUBSCRIPTION) | Capabilities::TRANSACTIONS;
        if self.has(Fault::UnsupportedIsOk) {
            return all & Capabilities::SIMPLE_QUEUING;
        }
        all
    }

    fn families(&self) -> Families<'_> {
        let inner = self.inner.families();
        if self.has(Fault::UnsupportedIsOk) {
            return Families {
                groups: inner.groups,
                streams: inner.streams,
                ..Families::default()
            };
        }
        Families {
            endpoints: None,
            dead_letters: Some(self),
            groups: Some(self),
            leases: Some(self),
            replay: Some(self),
            retention: Some(self),
            transactions: Some(self),
            ..inner
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.check_server()?;
        let _turn = match self.fault {
            Some(Fault::ReadersBlockPublishers) => Some(self.reading.lock().await),
            _ => None,
        };
        self.publish_wrongly(batch).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        match self.check_server() {
            Err(_) if self.has(Fault::SwallowsReadErrors) => return Ok(Deliveries::new()),
            answer => answer?,
        }
        let _turn = match self.fault {
            Some(Fault::ReadersBlockPublishers) => Some(self.reading.lock().await),
            _ => None,
        };
        let member = self.mistaken(request.member);
        let mut request = ReadRequest {
            member: &member,
            ..request
        };
        if self.has(Fault::HandsOutMore) && request.max > 0 {
            request.max += 1;
        }
        if self.has(Fault::SleepsThroughMessages) && !request.wait.is_zero() {
            let wait = std::mem::take(&mut request.wait);
            let found = self.inner.read(request).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            tokio::time::sleep(wait).await;
        }
        let mut deliveries = self.inner.read(request).await?;
        let receipts = remember(&member, &deliveries);
        if self.has(Fault::PopsOnRead) && !receipts.is_empty() {
            let runs: Vec<_> = receipts.into_iter().map(ReceiptRun::from).collect();
            let settle = Settle {
                member: &member,
                runs: &runs,
            };
            self.inner.ack(settle).await?;
            // On its way to the caller.
            tokio::task::yield_now().await;
        }
        if self.has(Fault::AttemptsAlwaysOne) {
            deliveries = first_attempts(&deliveries);
        }
        Ok(deliveries)
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.check_server()?;
        if self.has(Fault::UnsupportedIsOk) {
            return Ok(Settlements::all(Settled::NotPending, settle.len()));
        }
        if matches!(self.fault, Some(Fault::ForgetsAcks | Fault::PopsOnRead)) {
            return Ok(Settlements::all(Settled::Acked, settle.len()));
        }
        let (member, runs) = self.misread(settle);
        let answer = self
            .inner
            .ack(Settle {
                member: &member,
                runs: &runs,
            })
            .await?;
        let mut answers = Settlements::all(Settled::Acked, 0);
        for settled in answer.iter().take(settle.len()) {
            answers.push(match settled {
                Settled::AlreadySettled if self.has(Fault::DoubleAckIsAcked) => Settled::Acked,
                settled => settled,
            });
        }
        Ok(answers)
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.check_server()?;
        if matches!(self.fault, Some(Fault::ForgetsNacks | Fault::UnsupportedIsOk)) {
            return Ok(Settlements::all(Settled::Nacked, nack.settle.len()));
        }
        let disposition = match (self.fault, nack.disposition) {
            (Some(Fault::IgnoresDelay), Disposition::Requeue { .. })
            | (Some(Fault::GivingBackCounts), Disposition::GiveBack) => Disposition::Requeue {
                delay: Duration::ZERO,
            },
            (Some(Fault::LosesDeadLetters), Disposition::DeadLetter) => Disposition::Discard,
            (_, disposition) => disposition,
        };
        let (member, runs) = match self.fault {
            // These are about acks; for the others a nack goes wrong in the same way.
            Some(Fault::AckCoversEarlier | Fault::LateAckSettlesLater) => {
                (nack.settle.member.clone(), nack.settle.runs.to_vec())
            }
            _ => self.misread(nack.settle),
        };
        let settle = Settle {
            member: &member,
            runs: &runs,
        };
        self.inner
            .nack(Nack {
                settle,
                disposition,
                ..nack
            })
            .await
    }

    async fn ping(&self) -> Result<()> {
        if !self.has(Fault::AnswersPingWhenDown) {
            self.check_server()?;
        }
        self.inner.ping().await
    }

    fn health_stats(&self) -> HealthReport {
        self.inner.health_stats()
    }

    async fn ensure_connection(&self) -> Result<()> {
        if !self.has(Fault::AnswersPingWhenDown) && !self.has(Fault::SwallowsReadErrors) {
            self.check_server()?;
        }
        self.inner.ensure_connection().await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        self.inner.close().await
    }
}

/// The same messages, each as if it were delivered for the first time.
fn first_attempts(deliveries: &Deliveries) -> Deliveries {
    let (mut messages, mut receipts) = (Vec::new(), Vec::new());
    for lot in deliveries.lots() {
        for index in 0..lot.len() {
            let (Some(message), Some(receipt)) = (lot.message(index), lot.receipt(index)) else {
                continue;
            };
            messages.push((lot.store().id(lot.place(index), &receipt), message.clone()));
            receipts.push(Receipt {
                attempt: 1,
                ..receipt
            });
        }
    }
    if messages.is_empty() {
        return Deliveries::new();
    }
    Deliveries::each(messages, receipts)
}
