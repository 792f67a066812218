//! What the server says that a group has settled, held against what the consumers asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::{Result, async_trait};
use tokio::sync::watch;

use super::Torture;
use super::clock::Moment;
use super::journal::{Event, What};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Where a group is in a partition, by the word of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The first offset that is not settled.
    pub low: u64,
    /// What is settled beyond it.
    pub beyond: Vec<u64>,
}

/// Who can ask the server for a group's positions, past the adapter.
#[async_trait]
pub trait Positions: Send + Sync {
    /// Where `group` is in each partition of `stream` that it has a position in.
    async fn positions(&self, stream: &str, group: &str) -> Result<Vec<Position>>;
}

/// What the server said at some moment.
pub(super) type Sample = (Moment, Vec<Position>);

/// Asks the server from time to time until `over`; while it is away nothing is noted.
pub(super) async fn follow(
    positions: Arc<dyn Positions>,
    torture: Arc<Torture>,
    samples: Arc<Mutex<Vec<Sample>>>,
    mut over: watch::Receiver<bool>,
) {
    loop {
        if let Ok(found) = positions.positions(&torture.stream, &torture.group).await {
            let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
            if samples.last().is_none_or(|(_, last)| *last != found) {
                samples.push((Moment::now(), found));
            }
        }
        if tokio::time::timeout(LOOK, over.wait_for(|over| *over))
            .await
            .is_ok()
        {
            return;
        }
    }
}

/// What the commits of a run come to.
#[derive(Debug, Default)]
pub(super) struct Covered {
    /// When the server was first seen to hold a place for settled.
    since: HashMap<(u32, u64), Moment>,
    /// Places that were held for settled before any consumer asked for it.
    pub(super) unasked: Vec<(u32, u64)>,
    /// How often a partition's position was seen to move back.
    pub(super) back: u64,
    /// How often the server was asked, and said something new.
    pub(super) samples: u64,
}

impl Covered {
    /// Goes through all samples beside all events, which are in the order of their time.
    pub(super) fn of(samples: &[Sample], events: &[(usize, Event)]) -> Self {
        let (mut places, mut asked) = (HashMap::new(), HashMap::new());
        for (_, event) in events {
            match &event.what {
                What::Delivered {
                    entry,
                    place: Some(place),
                    ..
                } => _ = places.insert(*entry, *place),
                What::Acking { entry } => {
                    if let Some(place) = places.get(entry) {
                        asked.entry(*place).or_insert(event.at);
                    }
                }
                _ => {}
            }
        }
        let mut covered = Self {
            samples: samples.len() as u64,
            ..Self::default()
        };
        let mut lows: HashMap<u32, u64> = HashMap::new();
        for (at, positions) in samples {
            for position in positions {
                let low = lows.entry(position.partition).or_default();
                covered.back += u64::from(position.low < *low);
                let new = (*low..position.low).chain(position.beyond.iter().copied());
                *low = position.low.max(*low);
                for offset in new {
                    let place = (position.partition, offset);
                    if covered.since.contains_key(&place) {
                        continue;
                    }
                    covered.since.insert(place, *at);
                    if asked.get(&place).is_none_or(|asked| asked > at) {
                        covered.unasked.push(place);
                    }
                }
            }
        }
        covered
    }

    /// Some of what was wrong.
    pub(super) fn tell(&self) -> impl Iterator<Item = String> {
        let some = self.unasked.iter().take(10);
        some.map(|(partition, offset)| {
            format!("message {partition}:{offset} was committed as settled unasked")
        })
    }

    /// Whether the server was seen to hold the place for settled before `at`.
    pub(super) fn is_settled(&self, place: Option<(u32, u64)>, at: Moment) -> bool {
        place
            .and_then(|place| self.since.get(&place))
            .is_some_and(|since| *since < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    fn events(acked: u64) -> Vec<(usize, Event)> {
        let entry = |sequence| Entry {
            publisher: 0,
            sequence,
        };
        let came = |sequence| What::Delivered {
            entry: entry(sequence),
            attempt: 1,
            key: "k".to_owned(),
            place: Some((0, sequence)),
        };
        let acking = |sequence| What::Acking {
            entry: entry(sequence),
        };
        let whats = (0..3).map(came).chain((0..acked).map(acking));
        let at = |(at, what)| (0, Event { at: Moment(at), what });
        (1..).zip(whats).map(at).collect()
    }

    fn at(at: u64, low: u64, beyond: &[u64]) -> Sample {
        let position = Position {
            partition: 0,
            low,
            beyond: beyond.to_vec(),
        };
        (Moment(at), vec![position])
    }

    #[test]
    fn a_commit_that_covers_what_nobody_acked_is_found_out() {
        let good = Covered::of(&[at(10, 1, &[]), at(11, 2, &[])], &events(2));
        assert!(good.unasked.is_empty());
        assert!(good.is_settled(Some((0, 1)), Moment(12)) && !good.is_settled(Some((0, 2)), Moment(12)));
        assert_eq!(Covered::of(&[at(10, 3, &[])], &events(2)).unasked, [(0, 2)]);
        assert_eq!(Covered::of(&[at(10, 1, &[2])], &events(2)).unasked, [(0, 2)]);
        assert_eq!(
            Covered::of(&[at(4, 2, &[])], &events(2)).unasked,
            [(0, 1)],
            "before it was asked for"
        );
    }

    #[test]
    fn a_position_that_moves_back_is_counted() {
        let covered = Covered::of(&[at(10, 2, &[]), at(11, 1, &[]), at(12, 2, &[])], &events(2));
        assert_eq!(covered.back, 1);
    }
}
