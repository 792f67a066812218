//! A good broker through which everything goes mangled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::base::{
    BaseBroker, Deliveries, DynBroker, Families, Groups, HealthReport, Membership, Nack, PublishBatch,
    ReadRequest, Settle,
};
use broker_core::{
    Capabilities, ConsumerName, Error, GroupInfo, GroupName, Message, MessageId, Outcome, Published, Result,
    Settlements, StartPosition, StreamName, async_trait,
};
use tokio::time::Instant;

use super::mangle::Mangle;

pub(crate) struct ManglingBroker {
    inner: Arc<dyn DynBroker>,
    mangle: Option<Mangle>,
    connected: AtomicBool,
}

/// That some instance of a broker whose instances close each other was closed.
static CLOSED: AtomicBool = AtomicBool::new(false);

impl ManglingBroker {
    pub(crate) fn new(inner: Arc<dyn DynBroker>, mangle: Option<Mangle>) -> Self {
        let broker = Self {
            inner,
            mangle,
            connected: AtomicBool::new(false),
        };
        if broker.has(Mangle::OpeningStartsTask) {
            start_task();
        }
        broker
    }

    fn has(&self, mangle: Mangle) -> bool {
        self.mangle == Some(mangle)
    }

    fn stream(&self, stream: &StreamName) -> StreamName {
        self.mangle
            .map_or_else(|| stream.clone(), |mangle| mangle.stream(stream))
    }

    fn member(&self, member: &Membership) -> Membership {
        let mut mangled = member.clone();
        mangled.stream = self.stream(&member.stream);
        match self.mangle {
            Some(Mangle::AlwaysEarliest) => mangled.start = StartPosition::Earliest,
            Some(Mangle::AlwaysLatest) => mangled.start = StartPosition::Latest,
            Some(Mangle::GroupPerConsumer) => {
                let name = format!("{}-{}", member.group, member.consumer);
                let name: String = name.chars().rev().take(200).collect();
                mangled.group = GroupName::new(name).unwrap_or(mangled.group);
            }
            _ => {}
        }
        mangled
    }

    fn check_open(&self) -> Result<()> {
        if self.has(Mangle::ClosesAll) && CLOSED.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        Ok(())
    }

    /// Reads until all that was asked for is there, or the wait is over.
    async fn read_all(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        let until = Instant::now() + request.wait;
        let mut all = Deliveries::new();
        loop {
            let some = ReadRequest {
                max: request.max - all.len(),
                wait: Duration::ZERO,
                ..request
            };
            for lot in self.inner.read(some).await?.into_lots() {
                all.push(lot);
            }
            if all.len() >= request.max || Instant::now() >= until {
                return Ok(all);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn start_task() {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(std::future::pending::<()>()));
    }
}

impl BaseBroker for ManglingBroker {
    fn capabilities(&self) -> Capabilities {
        // Independent readers and patterns go past the methods in which the bugs are.
        let all = self.inner.capabilities();
        if self.has(Mangle::LosesFlags) && self.connected.load(Ordering::Acquire) {
            return all.without(Capabilities::IDEMPOTENT_PUBLISH);
        }
        all
    }

    fn families(&self) -> Families<'_> {
        Families {
            endpoints: None,
            groups: Some(self),
            ..self.inner.families()
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.check_open()?;
        let Some(mangle) = self.mangle else {
            return self.inner.publish(batch).await;
        };
        let stream = mangle.stream(batch.stream());
        let count = batch.len();
        if mangle == Mangle::DelayHoldsAll
            && let Some(delay) = batch.messages().iter().find_map(Message::delivery_delay)
        {
            tokio::time::sleep(delay).await;
        }
        let kept = |message: &&Message| mangle != Mangle::EmptyIsNothing || !message.payload().is_empty();
        let mut messages: Vec<_> = batch
            .messages()
            .iter()
            .filter(kept)
            .map(|message| mangle.message(message))
            .collect();
        if mangle == Mangle::AnswersForFew {
            messages.truncate(500);
        }
        if messages.is_empty() {
            let id = Outcome::Stored(MessageId::Text("nowhere".into()));
            return Ok(Published::each(vec![id; count]));
        }
        self.inner
            .publish(PublishBatch::new(&stream, &mut messages))
            .await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.check_open()?;
        let member = self.member(request.member);
        let mut request = ReadRequest {
            member: &member,
            ..request
        };
        match self.mangle {
            Some(Mangle::ZeroIsOne) if request.max == 0 => {
                request.max = 1;
                drop(self.inner.read(request).await?);
                return Ok(Deliveries::new());
            }
            Some(Mangle::WaitsForAll) if !request.wait.is_zero() => return self.read_all(request).await,
            Some(Mangle::NeverWaits) => request.wait = Duration::ZERO,
            _ => {}
        }
        self.inner.read(request).await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.check_open()?;
        let member = self.member(settle.member);
        self.inner
            .ack(Settle {
                member: &member,
                ..settle
            })
            .await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.check_open()?;
        let member = self.member(nack.settle.member);
        let settle = Settle {
            member: &member,
            ..nack.settle
        };
        self.inner.nack(Nack { settle, ..nack }).await
    }

    async fn ping(&self) -> Result<()> {
        self.check_open()?;
        self.inner.ping().await
    }

    fn health_stats(&self) -> HealthReport {
        self.inner.health_stats()
    }

    async fn ensure_connection(&self) -> Result<()> {
        if self.has(Mangle::LeavesTasks) {
            start_task();
        }
        self.inner.ensure_connection().await?;
        self.connected.store(true, Ordering::Release);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        CLOSED.fetch_or(self.has(Mangle::ClosesAll), Ordering::AcqRel);
        self.inner.close().await
    }
}

#[async_trait]
impl Groups for ManglingBroker {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        let (stream, families) = (self.stream(stream), self.inner.families());
        let groups = families.groups.ok_or_else(Error::closed)?;
        let made = groups.create(&stream, group, start).await?;
        if self.has(Mangle::CreateMoves)
            && let Some(replay) = families.replay
        {
            replay.seek(&stream, group, start).await?;
        }
        Ok(made)
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        let groups = self.inner.families().groups.ok_or_else(Error::closed)?;
        groups.list(&self.stream(stream)).await
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        let groups = self.inner.families().groups.ok_or_else(Error::closed)?;
        let force = force || self.has(Mangle::DeletesPending);
        groups.delete(&self.stream(stream), group, force).await
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        let stream = self.stream(stream);
        let families = self.inner.families();
        let groups = families.groups.ok_or_else(Error::closed)?;
        let moved = groups.remove_consumer(&stream, group, consumer).await?;
        if self.has(Mangle::RemovedTakesAll)
            && let Some(replay) = families.replay
        {
            replay.seek(&stream, group, &StartPosition::Latest).await?;
        }
        Ok(moved)
    }
}
