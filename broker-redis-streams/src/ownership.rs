//! Which partitions a member owns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

/// After how many of these without a look a member counts as gone, and without a read as idle.
const LOOKS: u32 = 8;

/// What a member owned when it last looked.
#[derive(Default)]
struct Share {
    looked: Option<Instant>,
    owned: Vec<u32>,
    /// When it last asked for messages.
    asked: Option<Instant>,
}

/// A member's share of the partitions.
///
/// The script shares them out evenly. A member that is to let go of one first empties its hands, and only then may the
/// next owner take it; one that has not been heard of for eight looks has lost all of its own.
/// A member looks while it asks for messages or has some in hand. Each change of owner raises the partition's epoch, so that receipts of the former owner are stale.
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
        let (mut owned, surplus) = self.look(&self.call(false, &[])).await?;
        if surplus > 0 {
            // What somebody works on is let go of last, and only once it is settled: until then nothing new is read.
            // Sorted so that those with work stay at the front.
            owned.sort_by_key(|number| !reader(readers, *number).is_some_and(|reader| in_hand(reader)));
            let going = owned.split_off(owned.len().saturating_sub(surplus));
            let (busy, idle): (Vec<_>, Vec<_>) = going
                .into_iter()
                .partition(|number| reader(readers, *number).is_some_and(|reader| in_hand(reader)));
            tracing::debug!(?busy, ?idle, "partitions go to other members");
            for number in &idle {
                if let Some(reader) = reader(readers, *number) {
                    reader.empty_hands().await;
                }
            }
            if !idle.is_empty() {
                self.look(&self.call(false, &idle)).await?;
            }
        }
        let mut share = self.share();
        share.looked = Some(Instant::now());
        share.owned.clone_from(&owned);
        drop(share);
        Ok(owned)
    }

    /// Takes note that messages are asked for.
    pub(crate) fn ask(&self) {
        self.share().asked = Some(Instant::now());
    }

    /// Looks from time to time who owns what, also while the application is busy, for as long as it has something in
    /// hand or goes on asking.
    pub(crate) async fn watch(ownership: Weak<Self>, readers: Vec<Weak<Reader>>) {
        loop {
            let Some(looking) = ownership.upgrade() else {
                return;
            };
            let (client, interval) = (Arc::clone(&looking.client), looking.interval());
            drop(looking);
            let mut closing = std::pin::pin!(client.closing.notified());
            closing.as_mut().enable();
            if client.check_open().is_err() {
                return;
            }
            tokio::select! {
                () = closing => return,
                () = tokio::time::sleep(interval) => {}
            }
            let Some(ownership) = ownership.upgrade() else {
                return;
            };
            let readers: Vec<_> = readers.iter().filter_map(Weak::upgrade).collect();
            if readers.len() < ownership.groups.len() {
                return;
            }
            let idle = ownership.interval() * LOOKS;
            let asked = ownership
                .share()
                .asked
                .is_some_and(|asked| asked.elapsed() < idle);
            if (asked || holds(&readers))
                && let Err(error) = ownership.keep(&readers).await
            {
                tracing::debug!(%error, "nobody knows who owns which partition; the next look tells");
            }
        }
    }

    /// Gives up all of them.
    pub(crate) async fn leave(&self) -> Result<()> {
        let _one_at_a_time = self.looking.lock().await;
        let all: Vec<_> = (0..).take(self.groups.len()).collect();
        self.look(&self.call(true, &all)).await?;
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

    fn call(&self, leaves: bool, let_go: &[u32]) -> Cmd {
        let lease = self.interval() * LOOKS;
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

    async fn look(&self, call: &Cmd) -> Result<(Vec<u32>, usize)> {
        let answer = self.client.run_even_closed(&scripts::ASSIGN, call).await?;
        let mut parts = reply::items(answer, "assign")?.into_iter();
        let odd = || error::odd_reply("assign");
        let owned = reply::items(parts.next().ok_or_else(odd)?, "assign")?;
        let owned = owned.iter().filter_map(reply::count);
        let owned = owned.filter_map(|number| u32::try_from(number).ok()).collect();
        let owned: Vec<u32> = owned;
        let surplus = parts.next().as_ref().and_then(reply::count).ok_or_else(odd)?;
        let epochs = reply::items(parts.next().ok_or_else(odd)?, "assign")?;
        for (number, epoch) in owned.iter().zip(epochs.iter().filter_map(reply::count)) {
            let group = usize::try_from(*number).ok().and_then(|at| self.groups.get(at));
            if let (Some(group), Ok(epoch)) = (group, u32::try_from(epoch)) {
                group.learn_epoch(epoch);
            }
        }
        Ok((owned, usize::try_from(surplus).unwrap_or(usize::MAX)))
    }
}

/// Whether anything that was handed out is not settled.
fn holds(readers: &[Arc<Reader>]) -> bool {
    readers.iter().any(|reader| in_hand(reader))
}

fn in_hand(reader: &Reader) -> bool {
    let lease = reader.hands.member.lease;
    reader.hands.handed_out().has_live(lease)
}

fn reader(readers: &[Arc<Reader>], number: u32) -> Option<&Arc<Reader>> {
    readers.get(usize::try_from(number).ok()?)
}
