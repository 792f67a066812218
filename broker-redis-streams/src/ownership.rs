//! Which partitions a member owns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::Result;
use broker_core::base::Membership;
use redis::Cmd;
use tokio::time::Instant;

use crate::client::Client;
use crate::group::Group;
use crate::reader::Reader;
use crate::time::millis;
use crate::{error, reply, scripts};

/// The longest time between two looks at who owns what: how long a newcomer waits for its share.
const LONGEST_INTERVAL: Duration = Duration::from_millis(500);
/// The shortest time between two such looks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// For how many of these a member with nothing in hand keeps its share without looking.
const IDLE_INTERVALS: u32 = 4;

/// What a member owned when it last looked.
#[derive(Default)]
struct Share {
    looked: Option<Instant>,
    owned: Vec<u32>,
    /// Whether it may keep that for a whole lease.
    holds: bool,
}

/// A member's share of the partitions.
///
/// The script shares them out evenly by the order of names. A member that is to let go of one first empties its hands,
/// and only then may the next owner take it; one that has not been heard of for a lease has lost all of its own, and one
/// that has nothing in hand already when it no longer asks for messages. Each
/// change of owner raises the partition's epoch, so that receipts of the former owner are stale.
pub(crate) struct Ownership {
    client: Arc<Client>,
    /// The group in each partition.
    groups: Vec<Arc<Group>>,
    consumer: String,
    lease: Duration,
    share: Mutex<Share>,
    looking: tokio::sync::Mutex<()>,
}

impl Ownership {
    pub(crate) fn new(client: &Arc<Client>, readers: &[Arc<Reader>], member: &Membership) -> Self {
        Self {
            client: Arc::clone(client),
            groups: readers
                .iter()
                .map(|reader| Arc::clone(&reader.hands.group))
                .collect(),
            consumer: member.consumer.to_string(),
            lease: member.lease,
            share: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// How often to look who owns what.
    pub(crate) fn interval(&self) -> Duration {
        (self.lease / 8).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
    }

    /// The partitions this member owns, looked up again from time to time.
    pub(crate) async fn keep(&self, readers: &[Arc<Reader>]) -> Result<Vec<u32>> {
        if let Some(owned) = self.known() {
            return Ok(owned);
        }
        let _one_at_a_time = self.looking.lock().await;
        if let Some(owned) = self.known() {
            return Ok(owned);
        }
        let holds = holds(readers);
        let (mut owned, surplus) = self.look(&self.call(holds, false, &[])).await?;
        if !surplus.is_empty() {
            for number in &surplus {
                if let Some(reader) = usize::try_from(*number).ok().and_then(|at| readers.get(at)) {
                    reader.empty_hands().await;
                }
            }
            (owned, _) = self.look(&self.call(holds, false, &surplus)).await?;
        }
        *self.share() = Share {
            looked: Some(Instant::now()),
            owned: owned.clone(),
            holds,
        };
        Ok(owned)
    }

    /// Makes sure that what was just handed out keeps its partition for a lease.
    ///
    /// It does so in the background: a dropped read must not lose what it has in hand.
    pub(crate) fn hold(self: &Arc<Self>) {
        if self.share().holds {
            return;
        }
        let ownership = Arc::clone(self);
        self.client.spawn(async move {
            let _one_at_a_time = ownership.looking.lock().await;
            match ownership.look(&ownership.call(true, false, &[])).await {
                Ok(_) => ownership.share().holds = true,
                Err(error) => tracing::debug!(%error, "partitions were not held; the next look does"),
            }
        });
    }

    /// Gives up all of them.
    pub(crate) async fn leave(&self) -> Result<()> {
        let _one_at_a_time = self.looking.lock().await;
        let all: Vec<_> = (0..).take(self.groups.len()).collect();
        self.look(&self.call(false, true, &all)).await?;
        *self.share() = Share::default();
        Ok(())
    }

    fn known(&self) -> Option<Vec<u32>> {
        let share = self.share();
        let fresh = share
            .looked
            .is_some_and(|looked| looked.elapsed() < self.interval());
        fresh.then(|| share.owned.clone())
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, holds: bool, leaves: bool, let_go: &[u32]) -> Cmd {
        let lease = if holds {
            self.lease
        } else {
            self.lease.min(self.interval() * IDLE_INTERVALS)
        };
        let mut keys = Vec::with_capacity(2 + 3 * self.groups.len());
        if let Some(first) = self.groups.first() {
            keys.extend([first.keys.owners.as_str(), first.keys.members.as_str()]);
        }
        for group in &self.groups {
            let own = &group.keys;
            keys.extend([own.entries.as_str(), own.state.as_str(), own.due.as_str()]);
        }
        let name = self.groups.first().map_or("", |group| group.name.as_str());
        let mut call = scripts::ASSIGN.call(&keys);
        call.arg(name)
            .arg(&self.consumer)
            .arg(millis(lease).max(1))
            .arg(u8::from(leaves));
        for number in let_go {
            call.arg(*number);
        }
        call
    }

    async fn look(&self, call: &Cmd) -> Result<(Vec<u32>, Vec<u32>)> {
        let answer = self.client.run_even_closed(&scripts::ASSIGN, call).await?;
        let mut parts = reply::items(answer, "assign")?.into_iter();
        let mut numbers = || -> Result<Vec<u32>> {
            let numbers = parts.next().ok_or_else(|| error::odd_reply("assign"))?;
            let numbers = reply::items(numbers, "assign")?;
            let numbers = numbers.iter().filter_map(reply::count);
            Ok(numbers.filter_map(|number| u32::try_from(number).ok()).collect())
        };
        Ok((numbers()?, numbers()?))
    }
}

/// Whether anything that was handed out is not settled.
fn holds(readers: &[Arc<Reader>]) -> bool {
    readers
        .iter()
        .any(|reader| reader.hands.handed_out().oldest().is_some())
}
