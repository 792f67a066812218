//! One torture run from its first message to its findings.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use broker_core::{Capabilities, Error, ErrorKind, Result};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::acks::Acks;
use super::clock::Moment;
use super::faults::Faults;
use super::folder::Folder;
use super::incident::Incident;
use super::journal::{Event, Follower, What};
use super::judge::Judge;
use super::member::keeps_order;
use super::positions::{self, Covered};
use super::publish::{Account, publish};
use super::team::Team;
use super::{Fault, Findings, Progress, Recovery, Rig, Torture};
use crate::Entry;

/// Between two looks at the journals.
const LOOK: Duration = Duration::from_millis(50);

/// For so long, beside some leases, the group may stand still at the end before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

impl Torture {
    /// Tortures the broker of `rig`, and tells how far it is from time to time.
    ///
    /// # Errors
    ///
    /// Where the broker has no groups, or processes and faults can't be controlled. What the broker does wrong is no
    /// error but in the findings.
    pub async fn run(self, rig: Rig, mut tell: impl FnMut(Progress)) -> Result<Findings> {
        let (torture, rig, began) = (Arc::new(self), Arc::new(rig), Instant::now());
        let flags = rig.broker.capabilities();
        if !flags.contains(Capabilities::CONSUMER_GROUPS) {
            return Err(Error::unsupported(Capabilities::CONSUMER_GROUPS).operation("torture"));
        }
        let lease = rig.broker.config().message_timeout;
        let settles = flags.contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        let folder = Folder::make(torture.keep.as_deref())
            .map_err(|error| failed("there is no folder for the journals").source(error))?;
        let folder = Arc::new(folder);
        let run = format!("{:x}-{:x}", torture.seed, Moment::now().0);
        let account = Arc::new(Account::new(&run));
        let mut rng = Rng::with_seed(torture.seed);

        let team = Team::start(Arc::clone(&torture), Arc::clone(&rig), &run, &folder)?;
        let (over, watch) = watch::channel(false);
        let samples = Arc::default();
        let (all_left, until_all_left) = watch::channel(false);
        let asking = rig.positions.clone().map(|asked| {
            let (torture, samples) = (Arc::clone(&torture), Arc::clone(&samples));
            tokio::spawn(positions::follow(asked, torture, samples, until_all_left))
        });
        let faults = Faults::new(watch);
        let mut publishers = JoinSet::new();
        for number in 0..torture.publishers.max(1) {
            let (torture, broker, account) = (Arc::clone(&torture), rig.broker.clone(), Arc::clone(&account));
            publishers.spawn(publish(torture, broker, account, number, rng.fork(), began));
        }
        let of_consumers = faults
            .clone()
            .of_consumers(team, Arc::clone(&rig), lease, rng.fork());
        let of_consumers = tokio::spawn(of_consumers);
        let of_the_rest = tokio::spawn(faults.clone().of_the_rest(Arc::clone(&rig), rng.fork()));

        let mut journals = Journals::of(&folder, settles);
        let mut publishing = true;
        let mut moved = Instant::now();
        let mut left = Left::Unasked;
        while publishing || !journals.has_all(&account) || !left.is_nothing(moved, lease) {
            while publishers.try_join_next().is_some() {}
            if publishing && publishers.is_empty() {
                // Everything heals, and the group catches up.
                publishing = false;
                moved = Instant::now();
                over.send_replace(true);
            }
            if of_the_rest.is_finished() && publishing && rig.has_faults() {
                break;
            }
            tokio::time::sleep(LOOK).await;
            if journals.follow()? {
                moved = Instant::now();
            }
            let settled = journals.done.len() as u64;
            account.settled.store(settled, Ordering::Release);
            tell(Progress {
                stored: account.stored.load(Ordering::Acquire),
                settled,
                faults: faults.count(),
            });
            if !publishing {
                left = torture.left(&rig).await;
            }
            if !publishing && moved.elapsed() > PATIENCE + lease * 4 {
                break;
            }
        }
        over.send_replace(true);
        of_the_rest.await.map_err(ended)??;
        let team = of_consumers.await.map_err(ended)??;
        publishers.abort_all();
        // What would come again does so within a lease.
        tokio::time::sleep(lease.mul_f64(1.2).min(PATIENCE)).await;
        let (ends, failed_processes) = team.dismiss().await?;
        all_left.send_replace(true);
        if let Some(asking) = asking {
            asking.await.map_err(ended)?;
        }
        journals.follow()?;
        let incidents = faults.incidents();
        folder
            .note(&incidents)
            .map_err(|error| failed("the faults can't be written down").source(error))?;
        let events = journals.sorted();
        let samples = samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let covered = Covered::of(&samples, &events);
        let acks = Acks::of(&events);
        let judge = Judge {
            ledger: &account.ledger,
            group: &torture.group,
            ends: &ends,
            incidents: &incidents,
            lease,
            settles,
            ordered: keeps_order(flags),
            forgetful: rig.forgetful,
            copies: rig.copies,
            covered: &covered,
            acks: &acks,
        };
        let judged = judge.judge(&events);
        let answered = account
            .answered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let findings = Findings {
            seed: torture.seed,
            provider: rig.broker.provider().to_owned(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            verdict: account.ledger.verdict(),
            unsettled: judged.unsettled,
            unheard: judged.unheard,
            left: left.count(),
            redelivered_because: judged.reasons,
            wrong_attempts: judged.attempts,
            commits: rig.positions.is_some().then_some(covered.samples),
            covered_unasked: covered.unasked.len() as u64,
            moved_back: covered.back,
            faults: recoveries(&incidents, &events, &answered),
            failed_processes,
            samples: judged.samples.into_iter().chain(covered.tell()).collect(),
            wrong: Vec::new(),
        };
        Ok(findings.hold_against(flags))
    }
}

/// What the broker says is left for the group.
#[derive(Clone, Copy)]
enum Left {
    Unasked,
    /// It can't say, or not now.
    Unknown,
    Count(u64),
}

impl Left {
    /// Whether nothing is left; where the broker does not say, after some leases without a move.
    fn is_nothing(self, moved: Instant, lease: Duration) -> bool {
        match self {
            Self::Unasked => false,
            Self::Unknown => moved.elapsed() > lease * 3,
            Self::Count(count) => count == 0,
        }
    }

    fn count(self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count),
            Self::Unasked | Self::Unknown => None,
        }
    }
}

impl Torture {
    async fn left(&self, rig: &Rig) -> Left {
        match rig.broker.groups(self.stream.as_str()).await {
            Ok(groups) => {
                let own = groups.iter().filter(|group| group.group.as_str() == self.group);
                Left::Count(own.map(|group| group.pending + group.lag).sum())
            }
            Err(_) => Left::Unknown,
        }
    }
}

/// The journals of all processes, as far as they were read.
struct Journals<'f> {
    folder: &'f Folder,
    settles: bool,
    followers: Vec<Follower>,
    events: Vec<(usize, Event)>,
    /// What was asked to be settled; without acks, what came.
    done: HashSet<Entry>,
}

impl<'f> Journals<'f> {
    fn of(folder: &'f Folder, settles: bool) -> Self {
        Self {
            folder,
            settles,
            followers: Vec::new(),
            events: Vec::new(),
            done: HashSet::new(),
        }
    }

    /// Reads on; answers whether anything was settled.
    fn follow(&mut self) -> Result<bool> {
        let unreadable = |error| failed("a consumer's journal can't be read").source(error);
        loop {
            let path = self.folder.journal(self.followers.len());
            if !path.exists() {
                break;
            }
            self.followers.push(Follower::of(&path).map_err(unreadable)?);
        }
        let before = self.done.len();
        for (process, follower) in self.followers.iter_mut().enumerate() {
            for event in follower.next().map_err(unreadable)? {
                match &event.what {
                    What::Acking { entry } => _ = self.done.insert(*entry),
                    What::Delivered { entry, .. } if !self.settles => _ = self.done.insert(*entry),
                    _ => {}
                }
                self.events.push((process, event));
            }
        }
        Ok(self.done.len() > before)
    }

    fn has_all(&self, account: &Account) -> bool {
        // The quick look first: the list of all that is stored is long.
        self.done.len() as u64 >= account.stored.load(Ordering::Acquire)
            && account
                .ledger
                .stored()
                .iter()
                .all(|entry| self.done.contains(entry))
    }

    fn sorted(mut self) -> Vec<(usize, Event)> {
        self.events.sort_by_key(|(_, event)| event.at);
        self.events
    }
}

/// How long recovery took after each kind of fault.
fn recoveries(
    incidents: &[Incident],
    events: &[(usize, Event)],
    answered: &[Moment],
) -> BTreeMap<Fault, Recovery> {
    let mut kinds: BTreeMap<Fault, (usize, Vec<u64>, Vec<u64>)> = BTreeMap::new();
    let settled: Vec<Moment> = events
        .iter()
        .filter(|(_, event)| matches!(event.what, What::Settled { answer, .. } if answer.took_effect()))
        .map(|(_, event)| event.at)
        .collect();
    let next = |moments: &[Moment], after: Moment| {
        let at = moments.partition_point(|moment| *moment < after);
        moments.get(at).map(|moment| milliseconds(moment.since(after)))
    };
    let mut answered = answered.to_vec();
    answered.sort_unstable();
    for incident in incidents {
        let (count, consuming, publishing) = kinds.entry(incident.fault).or_default();
        *count += 1;
        if incident.fault.is_of_consumer() {
            if incident.fault == Fault::ConsumerKilled {
                consuming.extend(incident.process.and_then(|process| taken_over(process, events)));
            }
            continue;
        }
        consuming.extend(next(&settled, incident.ended));
        publishing.extend(next(&answered, incident.ended));
    }
    kinds
        .into_iter()
        .map(|(fault, (count, consuming, publishing))| {
            let recovery = Recovery {
                count,
                consuming_ms: median_and_longest(consuming),
                publishing_ms: median_and_longest(publishing),
            };
            (fault, recovery)
        })
        .collect()
}

/// How long after its last sign of life what a process had in hand had all come to others; `None` for empty hands.
fn taken_over(process: usize, events: &[(usize, Event)]) -> Option<u64> {
    let mut in_hand: HashSet<Entry> = HashSet::new();
    let mut last = None;
    for (_, event) in events.iter().filter(|(by, _)| *by == process) {
        last = Some(event.at);
        match event.what {
            What::Delivered { entry, .. } => _ = in_hand.insert(entry),
            What::Settled { entry, .. }
            | What::Acking { entry }
            | What::Nacking { entry }
            | What::Unsettled { entry } => {
                let _ = in_hand.remove(&entry);
            }
            What::Foreign | What::Corrupted => {}
        }
    }
    let last = last?;
    let mut took = None;
    for (by, event) in events {
        if let What::Delivered { entry, .. } = event.what
            && *by != process
            && event.at > last
            && in_hand.remove(&entry)
        {
            took = Some(milliseconds(event.at.since(last)));
        }
    }
    took
}

fn median_and_longest(mut times: Vec<u64>) -> Option<(u64, u64)> {
    times.sort_unstable();
    Some((*times.get(times.len() / 2)?, *times.last()?))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn failed(what: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, what)
}

fn ended(error: JoinError) -> Error {
    failed("a part of the torture ended before its end").source(error)
}
