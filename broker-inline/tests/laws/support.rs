//! A broker and short words for what tests do with it.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{
    BaseBroker, Deliveries, Disposition, Membership, Nack, OpenContext, PublishBatch, ReadRequest, Settle,
};
use broker_core::registry::ProviderConfig;
use broker_core::{
    BrokerEvent, ConsumerName, Failure, GroupInfo, GroupName, Message, MessageId, Ordering, Receipt,
    ReceiptRun, Settled, StartPosition, StreamInfo, StreamName,
};
use broker_inline::{InlineBroker, InlineConfig};
use tokio::sync::broadcast;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(crate) fn consumer(name: &str) -> ConsumerName {
    ConsumerName::new(name).unwrap()
}

pub(crate) fn context(name: &str) -> OpenContext {
    OpenContext {
        name: Arc::from(name),
        config: Arc::default(),
        consumer: consumer("tester"),
        events: Default::default(),
    }
}

/// `consumer` of group `g` on stream `s`.
pub(crate) fn member(name: &str) -> Membership {
    member_of("g", name)
}

pub(crate) fn member_of(of: &str, name: &str) -> Membership {
    Membership {
        stream: stream("s"),
        group: group(of),
        consumer: consumer(name),
        start: StartPosition::Earliest,
        ordering: Ordering::Publish,
        lease: LEASE,
    }
}

pub(crate) fn sequential(name: &str) -> Membership {
    Membership {
        ordering: Ordering::Sequential,
        ..member(name)
    }
}

/// One message as it was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) text: String,
    pub(crate) id: MessageId,
    pub(crate) message: Message,
    pub(crate) receipt: Receipt,
    pub(crate) stream: Option<StreamName>,
}

pub(crate) fn unpack(deliveries: &Deliveries) -> Vec<Got> {
    let mut all = Vec::new();
    for lot in deliveries.lots() {
        for index in 0..lot.len() {
            let message = lot.message(index).unwrap().clone();
            let receipt = lot.receipt(index).unwrap();
            all.push(Got {
                text: String::from_utf8(message.payload().to_vec()).unwrap(),
                id: lot.store().id(lot.place(index), &receipt),
                message,
                receipt,
                stream: lot.stream.clone(),
            });
        }
    }
    all
}

pub(crate) fn texts(got: &[Got]) -> Vec<&str> {
    got.iter().map(|got| got.text.as_str()).collect()
}

pub(crate) fn attempts(got: &[Got]) -> Vec<u32> {
    got.iter().map(|got| got.receipt.attempt).collect()
}

#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) broker: InlineBroker,
    events: Arc<tokio::sync::Mutex<broadcast::Receiver<BrokerEvent>>>,
}

impl Rig {
    pub(crate) fn new(config: InlineConfig) -> Self {
        let context = context("default");
        let events = Arc::new(tokio::sync::Mutex::new(context.events.subscribe()));
        let broker = config.open(context).unwrap();
        broker.families().check(broker.capabilities()).unwrap();
        Self { broker, events }
    }

    pub(crate) async fn events(&self) -> Vec<BrokerEvent> {
        let mut events = self.events.lock().await;
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    /// What an operator sees of stream `s`, if it is there.
    pub(crate) async fn info(&self) -> Option<StreamInfo> {
        let streams = self.broker.families().streams.unwrap();
        streams.info(&stream("s")).await.unwrap()
    }

    /// What an operator sees of the groups of stream `s`.
    pub(crate) async fn groups(&self) -> Vec<GroupInfo> {
        let groups = self.broker.families().groups.unwrap();
        groups.list(&stream("s")).await.unwrap()
    }

    pub(crate) async fn send(&self, messages: Vec<Message>) -> Vec<MessageId> {
        self.send_to("s", messages).await
    }

    pub(crate) async fn send_to(&self, to: &str, mut messages: Vec<Message>) -> Vec<MessageId> {
        let published = self
            .broker
            .publish(PublishBatch::new(&stream(to), &mut messages))
            .await
            .unwrap();
        published.into_ids().unwrap()
    }

    pub(crate) async fn publish(&self, texts: &[&str]) -> Vec<MessageId> {
        self.send(texts.iter().map(|text| Message::text(*text)).collect())
            .await
    }

    /// Publishes the numbers of a range as texts, one at a time.
    pub(crate) async fn count(&self, numbers: std::ops::Range<usize>) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for number in numbers {
            ids.extend(self.publish(&[&number.to_string()]).await);
        }
        ids
    }

    pub(crate) async fn read(&self, member: &Membership, max: usize) -> Vec<Got> {
        self.wait(member, max, Duration::ZERO).await
    }

    pub(crate) async fn wait(&self, member: &Membership, max: usize, wait: Duration) -> Vec<Got> {
        unpack(&self.broker.read(ReadRequest { member, max, wait }).await.unwrap())
    }

    pub(crate) async fn ack(&self, member: &Membership, got: &[Got]) -> Vec<Settled> {
        let runs = runs(got);
        let settled = self.broker.ack(Settle { member, runs: &runs }).await.unwrap();
        settled.iter().collect()
    }

    pub(crate) async fn nack(
        &self,
        member: &Membership,
        got: &[Got],
        disposition: Disposition,
    ) -> Vec<Settled> {
        self.try_nack(member, got, disposition).await.unwrap()
    }

    pub(crate) async fn try_nack(
        &self,
        member: &Membership,
        got: &[Got],
        disposition: Disposition,
    ) -> broker_core::Result<Vec<Settled>> {
        let runs = runs(got);
        let failure = Failure {
            reason: "bounced".to_owned(),
            chain: vec!["no such address".to_owned()],
        };
        let settle = Settle { member, runs: &runs };
        let nack = Nack {
            settle,
            disposition,
            failure: &failure,
        };
        Ok(self.broker.nack(nack).await?.iter().collect())
    }

    pub(crate) async fn requeue(&self, member: &Membership, got: &[Got], delay: Duration) -> Vec<Settled> {
        self.nack(member, got, Disposition::Requeue { delay }).await
    }
}

pub(crate) fn runs(got: &[Got]) -> Vec<ReceiptRun> {
    let mut runs: Vec<ReceiptRun> = Vec::new();
    for got in got {
        if !runs.last_mut().is_some_and(|run| run.extend(got.receipt)) {
            runs.push(got.receipt.into());
        }
    }
    runs
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
