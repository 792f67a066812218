//! The adapter's face: it only translates.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::base::{
    BaseBroker, Deliveries, Endpoints, Families, Groups, HealthReport, Leases, ListenRequest, Membership,
    Nack, OpenContext, PublishBatch, PublishEndpoint, ReadEndpoint, ReadRequest, Settle, Source, Streams,
};
use broker_core::{
    Capabilities, ConsumerName, Error, GroupName, LostCapability, Published, Result, Settlements,
    StartPosition, StreamName, async_trait,
};
use broker_redis_common::Hub;

use crate::channel::{ChannelListener, Dropped};
use crate::client::{Client, SharedClient};
use crate::codec::Codec;
use crate::config::{Mode, RedisPubsubConfig};
use crate::keys::Keys;
use crate::list::ListGroup;
use crate::publisher::Publisher;
use crate::queue::QueueGroup;
use crate::reader::{Group, Reader};
use crate::scripts::{self, Scripts};
use crate::tail::Tail;
use crate::wake::Waker;

/// How many members that read by name are known, but for those that still have something to hand out.
const MEMBERS: usize = 1024;

/// Redis lists, channels or queues as a broker.
pub struct RedisPubsub {
    config: RedisPubsubConfig,
    context: OpenContext,
    client: SharedClient,
    codec: Arc<Codec>,
    scripts: Arc<Scripts>,
    hub: Arc<Hub>,
    waker: Arc<Waker>,
    dropped: Dropped,
    /// Members that read by name, which keep what dropped futures had asked for.
    members: Mutex<HashMap<(StreamName, GroupName, ConsumerName), Arc<Reader>>>,
}

impl RedisPubsub {
    pub(crate) fn open(config: RedisPubsubConfig, context: OpenContext) -> Result<Self> {
        let scripts = Arc::new(Scripts::new());
        let client = Arc::new(Client::open(&config, &context, &scripts)?);
        let hub = Arc::new(Hub::new(client.redis(), config.keep_alive));
        let waker = Waker::new(
            Arc::clone(&client),
            Arc::clone(&hub),
            config.pool_size,
            config.block_slice,
        );
        Ok(Self {
            codec: Arc::new(Codec::new(config.format)),
            scripts,
            waker: Arc::new(waker),
            dropped: Arc::new(AtomicU64::new(0)),
            members: Mutex::default(),
            config,
            context,
            client,
            hub,
        })
    }

    pub(crate) fn mode(&self) -> Mode {
        self.config.mode
    }

    pub(crate) fn config(&self) -> &RedisPubsubConfig {
        &self.config
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    pub(crate) fn lease(&self) -> Duration {
        self.context.config.message_timeout
    }

    pub(crate) fn keys(&self, stream: &StreamName) -> Keys {
        Keys::new(self.mode(), stream)
    }

    /// A member for operations that name none.
    pub(crate) fn member(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Membership {
        Membership {
            stream: stream.clone(),
            group: group.clone(),
            consumer: self.context.consumer.clone(),
            start: start.clone(),
            ordering: broker_core::Ordering::Publish,
            lease: self.lease(),
        }
    }

    /// Makes a group if it is not there; answers whether it was made.
    pub(crate) async fn make_group(&self, member: &Membership) -> Result<bool> {
        match self.group(member)? {
            Group::List(group) => group.make(&member.start).await,
            Group::Queue(group) => group.make(&member.start).await,
            Group::Tail(_) => Ok(false),
        }
    }

    fn publisher(&self, stream: &StreamName) -> Publisher {
        Publisher {
            client: Arc::clone(&self.client),
            codec: Arc::clone(&self.codec),
            mode: self.mode(),
            keys: self.keys(stream),
        }
    }

    fn group(&self, member: &Membership) -> Result<Group> {
        let (client, scripts) = (Arc::clone(&self.client), Arc::clone(&self.scripts));
        let keys = self.keys(&member.stream);
        match self.mode() {
            Mode::Channel => Err(Error::unsupported(Capabilities::CONSUMER_GROUPS)),
            Mode::List => Ok(Group::List(Arc::new(ListGroup::new(
                client,
                scripts,
                keys,
                member.clone(),
                &self.config,
            )))),
            Mode::Queue => Ok(Group::Queue(Arc::new(QueueGroup::new(
                client,
                scripts,
                keys,
                member.clone(),
                &self.config,
            )))),
        }
    }

    fn queue(&self, member: &Membership, needed: Capabilities) -> Result<Arc<QueueGroup>> {
        self.client.check_open()?;
        match self.mode() {
            Mode::Queue => match self.group(member)? {
                Group::Queue(group) => Ok(group),
                Group::List(_) | Group::Tail(_) => Err(Error::unsupported(needed)),
            },
            Mode::List | Mode::Channel => Err(Error::unsupported(needed)),
        }
    }

    async fn make_reader(&self, member: &Membership) -> Result<Arc<Reader>> {
        let group = self.group(member)?;
        self.make_group(member).await?;
        let waker = Arc::clone(&self.waker);
        Ok(Arc::new(Reader::new(
            group,
            member.clone(),
            waker,
            self.config.poll_interval,
        )))
    }

    async fn make_tail(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        let Source::Stream(stream) = &request.source else {
            return Err(Error::unsupported(Capabilities::PATTERN_SUBSCRIPTION));
        };
        if request.start != StartPosition::Latest {
            return Err(Error::unsupported(Capabilities::REPLAY));
        }
        let (client, scripts) = (Arc::clone(&self.client), Arc::clone(&self.scripts));
        let tail = Tail::start(client, scripts, self.keys(stream), stream.clone()).await?;
        // Names for what waits for the same stream; no group is made.
        let member = self.member(stream, &GroupName::new("listener")?, &request.start);
        Ok(Arc::new(Reader::new(
            Group::Tail(Arc::new(tail)),
            member,
            Arc::clone(&self.waker),
            self.config.poll_interval,
        )))
    }

    /// The reader of a member that reads by name.
    async fn reader_of(&self, member: &Membership) -> Result<Arc<Reader>> {
        let names = (
            member.stream.clone(),
            member.group.clone(),
            member.consumer.clone(),
        );
        let known = self
            .members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&names)
            .cloned();
        if let Some(reader) = known {
            return Ok(reader);
        }
        let reader = self.make_reader(member).await?;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() >= MEMBERS {
            // What a dropped future had asked for is not lost with its reader.
            members.retain(|_, reader| Arc::strong_count(reader) > 1 || reader.has_kept());
        }
        Ok(Arc::clone(members.entry(names).or_insert(reader)))
    }
}

impl BaseBroker for RedisPubsub {
    fn capabilities(&self) -> Capabilities {
        let most = self.mode().capabilities();
        let lost = self.lost_capabilities();
        lost.iter().fold(most, |left, lost| left.without(lost.capability))
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        // What the scripts of the mode can't do without the commands that came with the oldest version.
        let needs = match self.mode() {
            Mode::List => Capabilities::CONSUMER_GROUPS,
            Mode::Queue => Capabilities::DELIVERY_GUARANTEES,
            Mode::Channel => return Vec::new(),
        };
        let lost = self.client.server().too_old().map(|reason| LostCapability {
            capability: needs,
            reason,
        });
        lost.into_iter().collect()
    }

    fn families(&self) -> Families<'_> {
        let mut families = Families {
            endpoints: Some(self),
            ..Families::default()
        };
        if self.mode() != Mode::Channel {
            families.groups = Some(self as &dyn Groups);
            families.streams = Some(self as &dyn Streams);
        }
        if self.mode() == Mode::Queue {
            families.leases = Some(self as &dyn Leases);
        }
        families
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.publisher(batch.stream()).publish(batch.messages()).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        let reader = self.reader_of(request.member).await?;
        reader.read(request.max, request.wait).await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        let group = self.queue(settle.member, Capabilities::MESSAGE_ACKNOWLEDGEMENT)?;
        group.ack(&settle.member.consumer, settle.runs).await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        let member = nack.settle.member;
        let group = self.queue(member, Capabilities::MESSAGE_REJECTION)?;
        group
            .nack(&member.consumer, nack.settle.runs, nack.disposition)
            .await
    }

    async fn ping(&self) -> Result<()> {
        self.client
            .ask::<redis::Value>(&redis::cmd("PING"))
            .await
            .map(drop)
    }

    fn health_stats(&self) -> HealthReport {
        let mut report = HealthReport::default();
        let mut tell = |name: &str, value: String| report.details.push((name.to_owned(), value));
        tell("mode", self.mode().as_str().to_owned());
        tell("server", self.client.address());
        tell("server_version", self.client.server().to_string());
        if self.mode() == Mode::Channel {
            let dropped = self.dropped.load(Ordering::Relaxed);
            tell("dropped", dropped.to_string());
            if dropped > 0 {
                report.warnings.push(format!(
                    "{dropped} messages were dropped as listeners were behind; raise `buffer` or handle faster"
                ));
            }
        }
        report
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.client.ensure().await
    }

    async fn close(&self) -> Result<()> {
        self.client.close();
        self.hub.close();
        self.waker.close();
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        Ok(())
    }
}

#[async_trait]
impl Endpoints for RedisPubsub {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        if self.mode() != Mode::Channel {
            scripts::register(&self.client, self.mode(), stream).await?;
        }
        Ok(Arc::new(Self::publisher(self, stream)))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        Ok(self.make_reader(member).await?)
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        self.client.check_open()?;
        if self.mode() != Mode::Channel {
            return self.make_tail(request).await;
        }
        let started = ChannelListener::start(&self.client, &self.hub, &self.config, &self.dropped, request);
        Ok(Arc::new(started.await?))
    }
}

#[async_trait]
impl Leases for RedisPubsub {
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements> {
        let group = self.queue(settle.member, Capabilities::LEASE_EXTENSION)?;
        group.extend(&settle.member.consumer, settle.runs, by).await
    }
}

impl fmt::Debug for RedisPubsub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPubsub")
            .field("mode", &self.mode())
            .field("server", &self.client.address())
            .finish_non_exhaustive()
    }
}
