//! A member of a group that reads.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::{Deliveries, Membership};
use broker_core::{BrokerEvent, Error, Ordering, Result};
use tokio::time::Instant;

use crate::claim;
use crate::client::Client;
use crate::entry::Entries;
use crate::group::Group;
use crate::handed_out::{Fence, HandedOut};
use crate::keys::StreamKeys;
use crate::lane::{Arrived, Lane};
use crate::time::{EntryId, group_start, millis};
use crate::{error, reply, scripts};

/// How much longer than asked a read may take: the server's clock and the way there and back.
const GRACE: Duration = Duration::from_millis(60);

/// How often a blocked read is woken until it has ended.
const WAKE_EVERY: Duration = Duration::from_millis(20);

/// A member of a group, and what it has in its hands.
pub(crate) struct Hands {
    pub(crate) client: Arc<Client>,
    pub(crate) group: Arc<Group>,
    pub(crate) member: Membership,
    handed_out: Mutex<HandedOut>,
    /// The key of the stream's groups.
    groups: String,
    /// The server's number for the connection this member's read is blocked on; else zero.
    pub(crate) blocked: AtomicI64,
    /// Whether the last read found anything.
    pub(crate) busy: AtomicBool,
}

/// A member of a group that reads.
pub(crate) struct Reader {
    pub(crate) hands: Arc<Hands>,
    lane: tokio::sync::Mutex<Lane>,
}

impl Reader {
    /// Joins the group, which is made if it is not there.
    pub(crate) async fn join(
        client: &Arc<Client>,
        stream: &StreamKeys,
        member: &Membership,
    ) -> Result<Arc<Self>> {
        let hands = Arc::new(Hands {
            client: Arc::clone(client),
            group: client.group(stream, &member.group),
            member: member.clone(),
            handed_out: Mutex::default(),
            blocked: AtomicI64::new(0),
            busy: AtomicBool::new(false),
            groups: stream.groups.clone(),
        });
        hands.join(&group_start(&member.start)?).await?;
        Ok(Arc::new(Self {
            hands,
            lane: tokio::sync::Mutex::default(),
        }))
    }

    /// Hands out up to `max` entries, waiting up to `wait` for the first.
    pub(crate) async fn read(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        self.hands.client.check_open()?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        // Another call of the same member reads: what it does not take is there as soon as it has ended.
        let Ok(mut lane) = tokio::time::timeout_at(deadline + GRACE, self.lane.lock()).await else {
            return Ok(Deliveries::new());
        };
        let mut attention = Attention::new(&self.hands.client, &mut lane);
        let mut asked = false;
        loop {
            let lane = &mut *attention.lane;
            if let Some(arrived) = lane.take(max, self.hands.member.lease, self.hands.group.epoch()) {
                return Ok(self.hands.hand_out(arrived));
            }
            let now = Instant::now();
            if asked && now >= deadline {
                return Ok(Deliveries::new());
            }
            self.hands
                .begin(lane, max, deadline.saturating_duration_since(now));
            self.hands.wake_if_moved(attention.lane).await;
            let unseen_since = attention.unseen_since.take();
            match self
                .hands
                .watch(attention.lane, unseen_since, deadline + GRACE)
                .await
            {
                Watched::Read(answer) => {
                    asked = true;
                    attention.lane.keep(answer?);
                }
                Watched::Claimed(answer) => {
                    let (arrived, cursor) = answer?;
                    attention.lane.cursor = cursor;
                    attention.lane.keep(arrived);
                }
                Watched::DueChanged => {}
                Watched::TimeIsUp => return Ok(Deliveries::new()),
                Watched::Closing => return Err(Error::closed()),
            }
        }
    }

    /// Ends what is under way and gives back what nobody has seen.
    pub(crate) async fn empty_hands(&self) {
        let mut lane = self.lane.lock().await;
        empty(&self.hands, &mut lane).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut lane = std::mem::take(self.lane.get_mut());
        if !lane.is_empty() {
            let hands = Arc::clone(&self.hands);
            let client = Arc::clone(&hands.client);
            client.spawn(async move { empty(&hands, &mut lane).await });
        }
    }
}

/// What a watcher saw first.
enum Watched {
    Read(Result<Arrived>),
    Claimed(Result<(Arrived, claim::Cursor)>),
    DueChanged,
    TimeIsUp,
    Closing,
}

/// Somebody watches the lane's requests, until the call ends or is dropped.
struct Attention<'a> {
    client: &'a Client,
    lane: &'a mut Lane,
    unseen_since: Option<Instant>,
}

impl<'a> Attention<'a> {
    fn new(client: &'a Client, lane: &'a mut Lane) -> Self {
        let unseen_since = lane.attend();
        Self {
            client,
            lane,
            unseen_since,
        }
    }
}

impl Drop for Attention<'_> {
    fn drop(&mut self) {
        self.lane.leave(self.client);
    }
}

impl Hands {
    pub(crate) fn handed_out(&self) -> MutexGuard<'_, HandedOut> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a key's next message waits until the one before it is settled.
    pub(crate) fn is_sequential(&self) -> bool {
        self.member.ordering == Ordering::Sequential
    }

    /// Makes the group if it is not there, and puts the lease down; answers whether it was made.
    async fn join(&self, start: &str) -> Result<bool> {
        let keys = &self.group.keys;
        let mut call = scripts::JOIN.call(&[&keys.entries, &keys.state, &keys.leases, &self.groups]);
        call.arg(self.group.name.as_str())
            .arg(start)
            .arg(self.member.consumer.as_str())
            .arg(millis(self.member.lease).max(1));
        let answer = reply::items(self.client.run(&scripts::JOIN, &call).await?, "join")?;
        let mut numbers = answer.iter().map(reply::count);
        let mut next = || numbers.next().flatten().ok_or_else(|| error::odd_reply("join"));
        let (made, epoch, token) = (next()?, next()?, next()?);
        self.group.learn_token(u32::try_from(token).unwrap_or(u32::MAX));
        self.group.learn_epoch(u32::try_from(epoch).unwrap_or(u32::MAX));
        Ok(made == 1)
    }

    /// Begins what is to be done next: first a look at what is due, then reading.
    fn begin(self: &Arc<Self>, lane: &mut Lane, max: usize, left: Duration) {
        if lane.claiming.is_none() && self.claim_at(lane) <= Instant::now() {
            let (hands, cursor) = (Arc::clone(self), lane.cursor.clone());
            lane.claimed_at = Some(Instant::now());
            lane.claiming = Some(Box::pin(async move {
                let claimed = claim::claim(&hands, max, cursor).await;
                match claimed {
                    Err(missing) if error::is_missing_group(&missing) => {
                        hands.recreate().await?;
                        Ok((Arrived::nothing(), claim::Cursor::default()))
                    }
                    claimed => claimed,
                }
            }));
        }
        if lane.reading.is_none() && lane.claiming.is_none() {
            let block = self.client.redis.slice(self.client.config.block_slice).min(left);
            let hands = Arc::clone(self);
            lane.reading_epoch = self.group.epoch();
            lane.detached = false;
            lane.reading = Some(Box::pin(async move {
                match hands.read_new(max, block).await {
                    Err(missing) if error::is_missing_group(&missing) => {
                        hands.recreate().await?;
                        Ok(Arrived::nothing())
                    }
                    answer => answer,
                }
            }));
        }
    }

    /// Wakes a read that waits behind the position the group was moved away from.
    async fn wake_if_moved(&self, lane: &mut Lane) {
        let epoch = self.group.epoch();
        if lane.reading.is_some() && lane.reading_epoch != epoch {
            lane.reading_epoch = epoch;
            self.client.unblock(&[self.blocked.load(Relaxed)]).await;
        }
    }

    /// When to ask the server again what is due.
    fn claim_at(&self, lane: &Lane) -> Instant {
        let Some(last) = lane.claimed_at else {
            return Instant::now();
        };
        let regular = last + claim::interval(self.member.lease);
        self.group.due().map_or(regular, |due| due.min(regular))
    }

    /// Waits for the first thing to happen. What is under way stays in the lane when this is dropped.
    async fn watch(&self, lane: &mut Lane, unseen_since: Option<Instant>, until: Instant) -> Watched {
        let mut closing = std::pin::pin!(self.client.closing.notified());
        closing.as_mut().enable();
        let mut nearer = std::pin::pin!(self.group.nearer.notified());
        nearer.as_mut().enable();
        if self.client.check_open().is_err() {
            return Watched::Closing;
        }
        let claim_at = self.claim_at(lane);
        let Lane {
            reading, claiming, ..
        } = lane;
        let idle = claiming.is_none();
        // What is there at the first look may have come at any time since nobody looked.
        let mut first_look = true;
        let step = tokio::select! {
            biased;
            claimed = ready(claiming) => {
                *claiming = None;
                return Watched::Claimed(claimed);
            }
            answer = std::future::poll_fn(|context| {
                let Some(reading) = reading else {
                    return std::task::Poll::Pending;
                };
                let answer = reading.as_mut().poll(context).map(|answer| (answer, first_look));
                first_look = false;
                answer
            }) => {
                *reading = None;
                let (answer, at_once) = answer;
                return Watched::Read(answer.map(|mut arrived| {
                    if !at_once {
                        arrived.seen = Instant::now();
                    } else if let Some(unseen) = unseen_since {
                        arrived.seen = arrived.seen.max(unseen);
                    }
                    arrived
                }));
            }
            () = &mut closing => Watched::Closing,
            () = &mut nearer, if idle => Watched::DueChanged,
            () = tokio::time::sleep_until(claim_at), if idle => Watched::DueChanged,
            () = tokio::time::sleep_until(until) => Watched::TimeIsUp,
        };
        step
    }

    /// Makes the group again where it was: the oldest entry that is known not to be settled comes again.
    async fn recreate(&self) -> Result<()> {
        let known = self.handed_out().oldest().map(EntryId::before);
        let start = match (known, self.group.last_seen()) {
            (Some(unsettled), _) => unsettled.to_string(),
            (None, Some(last)) => last.to_string(),
            (None, None) => group_start(&self.member.start)?,
        };
        let position = known.or(self.group.last_seen());
        if self.join(&start).await? {
            self.client.recreated.fetch_add(1, Relaxed);
            tracing::warn!(stream = %self.group.stream, group = %self.group.name, start, "the group was gone and was made again");
            self.client.context.events.send(BrokerEvent::GroupRecreated {
                stream: self.group.stream.clone(),
                group: self.group.name.clone(),
                position: position.map(|id| id.to_message_id(self.group.partition)),
            });
        }
        Ok(())
    }

    /// Makes a batch of what arrived, and remembers it.
    fn hand_out(&self, arrived: Arrived) -> Deliveries {
        let Arrived {
            since,
            epoch,
            entries,
            token,
            ..
        } = arrived;
        if let Some(last) = entries.iter().map(|entry| entry.id).max() {
            self.group.saw(last);
        }
        let batch = self.handed_out().add(&entries, since, self.member.lease, token);
        Entries::deliver(self.group.partition, entries, |entry| {
            Fence {
                epoch: Fence::low(epoch),
                count: Fence::low(entry.count),
                batch,
            }
            .pack()
        })
    }
}

/// Ends what is under way and gives back what nobody has seen.
async fn empty(hands: &Hands, lane: &mut Lane) {
    while let Some(reading) = &mut lane.reading {
        hands.client.unblock(&[hands.blocked.load(Relaxed)]).await;
        if let Ok(answer) = tokio::time::timeout(WAKE_EVERY, reading).await {
            lane.reading = None;
            if let Ok(arrived) = answer {
                lane.keep(arrived);
            }
        }
    }
    if let Some(claiming) = lane.claiming.take()
        && let Ok((arrived, _)) = claiming.await
    {
        lane.keep(arrived);
    }
    while let Some(arrived) = lane.take(usize::MAX, hands.member.lease, hands.group.epoch()) {
        if let Err(error) = hands.give_back(&arrived).await {
            // It comes again when the lease ends.
            tracing::debug!(%error, "entries that nobody has seen were not given back");
        }
    }
}

/// A request's answer; without a request, never.
async fn ready<T>(request: &mut Option<broker_core::base::BoxFuture<'static, T>>) -> T {
    match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}
