//! A member of a group that reads.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::{Deliveries, Membership};
use broker_core::{Error, Ordering, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::claim;
use crate::client::Client;
use crate::entry::Entries;
use crate::error;
use crate::group::Group;
use crate::handed_out::{Fence, HandedOut};
use crate::keys::StreamKeys;
use crate::lane::{Arrived, Lane, ready};
use crate::tidying::empty;
use crate::time::group_start;

/// How much longer than asked a read may take: the server's clock and the way there and back.
const GRACE: Duration = Duration::from_millis(400);

/// A member of a group, and what it has in its hands.
pub(crate) struct Hands {
    pub(crate) client: Arc<Client>,
    pub(crate) group: Arc<Group>,
    pub(crate) member: Membership,
    handed_out: Mutex<HandedOut>,
    /// The key of the stream's groups.
    pub(crate) groups: String,
    /// The server's number for the connection this member's read is blocked on; else zero.
    pub(crate) blocked: AtomicI64,
    /// Whether the last read found anything.
    pub(crate) busy: AtomicBool,
    /// Whether somebody waits for what is read.
    pub(crate) attended: AtomicBool,
}

/// A member of a group that reads.
pub(crate) struct Reader {
    pub(crate) hands: Arc<Hands>,
    pub(crate) lane: tokio::sync::Mutex<Lane>,
    /// Dropped with the reader: what tidies up after it ends then.
    pub(crate) present: watch::Sender<()>,
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
            handed_out: Mutex::new(HandedOut::new(member.ordering == Ordering::Sequential)),
            blocked: AtomicI64::new(0),
            busy: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            groups: stream.groups.clone(),
        });
        hands.join(&group_start(&member.start)?, None).await?;
        hands.group.joined(member.lease);
        client.listen(&hands.group);
        Ok(Arc::new(Self {
            hands,
            lane: tokio::sync::Mutex::default(),
            present: watch::Sender::default(),
        }))
    }

    /// Hands out up to `max` entries, waiting up to `wait` for the first. A read that finds none may `stay` longer at
    /// the server, for the next call.
    pub(crate) async fn read(
        self: &Arc<Self>,
        max: usize,
        wait: Duration,
        stay: Duration,
    ) -> Result<Deliveries> {
        self.hands.client.check_open()?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        let longest = Instant::now() + stay.min(Duration::from_secs(86_400));
        // Another call of the same member reads: what it does not take is there as soon as it has ended.
        let Ok(mut lane) = tokio::time::timeout_at(deadline + GRACE, self.lane.lock()).await else {
            return Ok(Deliveries::new());
        };
        let mut attention = Attention::new(self, &mut lane);
        let mut asked = false;
        loop {
            let lane = &mut *attention.lane;
            if let Some(arrived) = lane.take(max, self.hands.lease(), self.hands.group.epoch()) {
                return Ok(self.hands.hand_out(arrived));
            }
            let now = Instant::now();
            if asked && now >= deadline {
                return Ok(Deliveries::new());
            }
            self.hands
                .begin(lane, max, longest.saturating_duration_since(now));
            self.hands.wake_if_moved(attention.lane).await;
            let looked = attention.looked;
            let watched = self.hands.watch(attention.lane, looked, deadline + GRACE).await;
            attention.looked = Instant::now();
            match watched {
                Watched::Read(answer) => {
                    asked = true;
                    attention.lane.overdue = None;
                    attention.lane.keep(answer?);
                }
                Watched::Claimed(answer) => {
                    attention.lane.keep_claimed(answer?);
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
    Claimed(Result<claim::Claimed>),
    DueChanged,
    TimeIsUp,
    Closing,
}

/// Somebody watches the lane's requests, until the call ends or is dropped.
struct Attention<'a> {
    reader: &'a Arc<Reader>,
    lane: &'a mut Lane,
    /// Until when the requests were looked at.
    looked: Instant,
}

impl<'a> Attention<'a> {
    fn new(reader: &'a Arc<Reader>, lane: &'a mut Lane) -> Self {
        let looked = lane.attend().unwrap_or_else(Instant::now);
        reader.hands.attended.store(true, Relaxed);
        Self { reader, lane, looked }
    }
}

impl Drop for Attention<'_> {
    fn drop(&mut self) {
        let Hands { client, attended, .. } = &*self.reader.hands;
        attended.store(false, Relaxed);
        self.lane.leave(client);
        if !self.lane.is_empty() && !self.lane.tidied {
            self.lane.tidied = true;
            client.spawn(self.reader.tidy());
        }
    }
}

impl Hands {
    pub(crate) fn handed_out(&self) -> MutexGuard<'_, HandedOut> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long what was handed out to this member is certainly its own.
    pub(crate) fn lease(&self) -> Duration {
        self.group.certain_lease(self.member.lease)
    }

    /// Whether a key's next message waits until the one before it is settled.
    pub(crate) fn is_sequential(&self) -> bool {
        self.member.ordering == Ordering::Sequential
    }

    /// Begins what is to be done next: first a look at what is due, then reading.
    fn begin(self: &Arc<Self>, lane: &mut Lane, max: usize, left: Duration) {
        if lane.claiming.is_none() && self.claim_at(lane) <= Instant::now() {
            let hands = Arc::clone(self);
            // What is due is there sooner than the next search is.
            let leases = lane.overdue.is_some() || lane.search_at(self.search_interval()) <= Instant::now();
            let search = claim::Search::new(leases, &lane.cursor);
            let unanswered = lane.unanswered();
            let reaps = lane.reaps(self.client.config.reap_after);
            let discarded = std::mem::take(&mut lane.discarded);
            if leases {
                lane.searched_at = Some(Instant::now());
            }
            lane.claiming = Some(Box::pin(async move {
                for arrived in &discarded {
                    hands.give_back(arrived).await?;
                }
                if reaps && let Err(error) = claim::reap(&hands).await {
                    tracing::debug!(%error, "dead members were not looked for");
                }
                let claimed = claim::claim(&hands, max, search, unanswered).await;
                match claimed {
                    Err(missing) if error::is_missing_group(&missing) => {
                        hands.recreate().await?;
                        Ok(claim::Claimed::nothing())
                    }
                    claimed => claimed,
                }
            }));
        }
        if lane.reading.is_none() && lane.claiming.is_none() {
            let block = self.client.redis.slice(self.client.config.block_slice).min(left);
            let hands = Arc::clone(self);
            lane.reading_epoch = self.group.epoch();
            lane.reading_since = Some(Instant::now());
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

    /// How often to look for ended leases.
    fn search_interval(&self) -> Duration {
        claim::interval(self.member.lease, self.group.is_listening())
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
        let regular = lane.search_at(self.search_interval());
        let early = self.group.due().into_iter().chain(lane.claim_early()).min();
        early.map_or(regular, |early| early.min(regular))
    }

    /// Waits for the first thing to happen. What is under way stays in the lane when this is dropped.
    async fn watch(&self, lane: &mut Lane, looked: Instant, until: Instant) -> Watched {
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
                    let since = if at_once { looked } else { Instant::now() };
                    arrived.seen = arrived.seen.max(since);
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
        let batch = self.handed_out().add(&entries, since, self.lease(), token);
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
