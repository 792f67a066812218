//! From journals to a verdict: why each message that came again did so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use broker_core::Settled;

use super::acks::Acks;
use super::clock::Moment;
use super::incident::{Fault, Incident};
use super::journal::{Event, What};
use super::positions::Covered;
use super::rig::Forgetful;
use crate::{Entry, Ledger};

/// How many samples of what went wrong are kept.
const SAMPLES: usize = 10;

/// What is known about a run when its events are judged.
pub(super) struct Judge<'r> {
    pub(super) ledger: &'r Ledger,
    pub(super) group: &'r str,
    /// When each process ended.
    pub(super) ends: &'r [Option<Moment>],
    pub(super) incidents: &'r [Incident],
    pub(super) lease: Duration,
    pub(super) settles: bool,
    /// Whether order per key is claimed.
    pub(super) ordered: bool,
    pub(super) forgetful: Option<Forgetful>,
    /// Whether a fault may leave a refused message there twice.
    pub(super) copies: bool,
    /// What the server was seen to hold for settled.
    pub(super) covered: &'r Covered,
    /// When acks were asked for and answered.
    pub(super) acks: &'r Acks,
}

/// What the events come to, beside the ledger's own sums.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Why messages came again.
    pub(super) reasons: BTreeMap<&'static str, u64>,
    /// Deliveries whose attempt number is not above the one before.
    pub(super) attempts: u64,
    /// Stored, delivered, and never asked to be settled by the last who had it.
    pub(super) unsettled: u64,
    /// Asked to be settled, and nobody lived to tell the answer.
    pub(super) unheard: u64,
    /// What went wrong, told for some.
    pub(super) samples: Vec<String>,
    sampled: Vec<(Entry, &'static str)>,
}

#[derive(Default)]
struct Story {
    deliveries: u32,
    process: usize,
    at: Moment,
    attempt: u32,
    place: Option<(u32, u64)>,
    answer: Option<Answer>,
    done: bool,
    /// How often settling it failed half-way, as far as is known, and left it there once more.
    twice: u32,
    /// When it was asked to be settled, the last time.
    asked: Moment,
    /// Processes that saw an earlier delivery only after a later one was seen: they had stood still.
    late: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Answer {
    Asked,
    Refusing,
    Said(Settled),
    Failed,
}

impl Judge<'_> {
    /// Goes through the events of all processes, in the order of their time.
    pub(super) fn judge(&self, events: &[(usize, Event)]) -> Judged {
        let mut judged = Judged::default();
        let mut stories: BTreeMap<Entry, Story> = BTreeMap::new();
        for (process, event) in events {
            match &event.what {
                What::Delivered {
                    entry,
                    attempt,
                    key,
                    place,
                } => {
                    let story = stories.entry(*entry).or_default();
                    story.place = *place;
                    self.delivered(&mut judged, story, *entry, *process, event.at, *attempt, key);
                }
                What::Acking { entry } => {
                    let story = stories.entry(*entry).or_default();
                    if story.process == *process {
                        (story.answer, story.asked) = (Some(Answer::Asked), event.at);
                    }
                }
                What::Nacking { entry } => {
                    let story = stories.entry(*entry).or_default();
                    if story.process == *process {
                        (story.answer, story.asked) = (Some(Answer::Refusing), event.at);
                    }
                }
                What::Settled { entry, answer } => {
                    let story = stories.entry(*entry).or_default();
                    if story.late.contains(process) {
                        if answer.took_effect() {
                            judged.attempts += 1;
                            judged.sample(*entry, "was settled by the receipt of an earlier delivery");
                        }
                        continue;
                    }
                    // What was sent again, as its answer was lost, is answered as settled already: the ack or the nack.
                    let asked = story.process == *process && matches!(story.answer, Some(Answer::Asked));
                    let answer = match answer {
                        Settled::AlreadySettled if asked => Settled::Acked,
                        Settled::AlreadySettled if story.process == *process => Settled::Nacked,
                        answer => *answer,
                    };
                    if answer == Settled::Acked {
                        story.done = true;
                        self.ledger.acked_entry(self.group, *entry);
                    }
                    if story.process == *process {
                        story.answer = Some(Answer::Said(answer));
                    }
                }
                What::Unsettled { entry } => {
                    let story = stories.entry(*entry).or_default();
                    if story.process == *process {
                        story.twice += u32::from(self.copies);
                        story.answer = Some(Answer::Failed);
                    }
                }
                What::Foreign => self.ledger.strange_elsewhere(true),
                What::Corrupted => self.ledger.strange_elsewhere(false),
            }
        }
        for entry in self.ledger.stored() {
            match stories.get(&entry).filter(|story| story.deliveries > 0) {
                None => judged.sample(entry, "never came"),
                Some(story) if story.done || !self.settles => {}
                Some(story) if story.may_be_settled() => judged.unheard += 1,
                Some(_) => {
                    judged.unsettled += 1;
                    judged.sample(entry, "was never settled");
                }
            }
        }
        judged.tell_stories(events);
        judged
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, and its story")]
    fn delivered(
        &self,
        judged: &mut Judged,
        story: &mut Story,
        entry: Entry,
        process: usize,
        at: Moment,
        attempt: u32,
        key: &str,
    ) {
        let forgotten = story.twice > 0
            || story.deliveries > 0
                && (self.is_forgotten(story, story.at, at) || story.done && self.is_unwritten(story, at));
        if story.deliveries > 0 && attempt < story.attempt && !forgotten {
            // Handed out before the one that was seen first; what it says of the message is refused, which is looked at.
            *judged.reasons.entry("seen late").or_default() += 1;
            story.late.push(process);
            return;
        }
        if story.deliveries > 0 {
            let reason = self.reason(story, at);
            if self.copies && reason == Some("nacked") && self.is_forgotten(story, story.asked, at) {
                // That the original was given up for its copy could not be written down.
                story.twice += 1;
            }
            match reason.or_else(|| story.second()) {
                Some(reason) => {
                    self.ledger.excuse_entry(self.group, entry);
                    if std::mem::take(&mut story.done) {
                        self.ledger.forgot_entry(self.group, entry);
                    }
                    *judged.reasons.entry(reason).or_default() += 1;
                }
                None => judged.sample(entry, "came again without a reason"),
            }
            if attempt <= story.attempt && !forgotten {
                judged.attempts += 1;
                judged.sample(
                    entry,
                    "came with an attempt number that is not above the one before",
                );
            }
        }
        let before = self.ledger.reordered();
        self.ledger.delivered_elsewhere(self.group, entry, key);
        if self.ordered && self.ledger.reordered() > before {
            judged.sample(entry, "came after a later one of its key");
        }
        story.deliveries += 1;
        (story.process, story.at, story.attempt) = (process, at, attempt);
        (story.answer, story.asked) = (None, at);
    }

    /// Why a message may come again at `at`; `None` where nothing explains it.
    fn reason(&self, story: &Story, at: Moment) -> Option<&'static str> {
        if self.covered.is_settled(story.place, at) {
            // The server knew better.
            return None;
        }
        if story.done && self.is_forgotten(story, story.asked, at) {
            return Some("acked, and its consumer was kept from writing that down");
        }
        if story.done && self.is_unwritten(story, at) {
            return Some("acked, and no ack of its consumer could be written down any more");
        }
        if story.done {
            return None;
        }
        match story.answer {
            Some(Answer::Said(Settled::Nacked) | Answer::Refusing) => return Some("nacked"),
            Some(Answer::Failed) => return Some("settling failed"),
            Some(Answer::Said(_)) => return Some("settling refused"),
            Some(Answer::Asked) | None => {}
        }
        let end = self.ends.get(story.process).copied().flatten();
        if end.is_some_and(|end| end <= at) {
            return Some("its consumer died");
        }
        // The lease begins with the hand-over, which is before the journal's line.
        if at.since(story.at) >= self.lease.mul_f64(0.8) {
            return Some("its lease ended");
        }
        let overlaps = |incident: &&Incident| incident.began <= at && incident.ended >= story.at;
        match self.incidents.iter().find(overlaps) {
            Some(incident) if incident.fault.is_of_consumer() => Some("the group changed"),
            Some(_) => Some("a fault of server or connection"),
            None => None,
        }
    }
}

impl Judge<'_> {
    /// Whether its last holder's acks could no longer be written down, until it came again at `again`: then the holder
    /// was kept waiting for the next ones.
    fn is_unwritten(&self, story: &Story, again: Moment) -> bool {
        self.forgetful.is_some_and(
            |Forgetful {
                 written, answered, ..
             }| {
                let grace = written + answered;
                self.acks.waited(story.process, story.asked, again, grace)
            },
        )
    }

    /// Whether what its last holder did at `done` could not be written down, before the message came again at `again`.
    ///
    /// It takes some time until what was answered is on the server. Within that time the holder was killed or stood
    /// still, or server or connections failed; or they had failed so short a time before that the holder could not have
    /// noticed. A holder that lives on in peace has no excuse.
    fn is_forgotten(&self, story: &Story, done: Moment, again: Moment) -> bool {
        let Some(Forgetful { written, unnoticed, .. }) = self.forgetful else {
            return false;
        };
        let until = again.min(done.after(written));
        self.incidents.iter().any(|incident| {
            let own = incident.process == Some(story.process);
            let lasted = match incident.fault {
                Fault::ConsumerKilled if own => incident.ended,
                Fault::ConsumerPaused if own => incident.ended.after(written),
                fault if fault.is_of_consumer() => return false,
                _ => incident.ended.after(unnoticed),
            };
            incident.began <= until && lasted >= done
        })
    }
}

impl Story {
    /// Why it comes where it was settled already: a fault had left it there twice.
    fn second(&mut self) -> Option<&'static str> {
        self.twice = self.twice.checked_sub(1)?;
        Some("settling failed, and it was there twice")
    }

    /// Whether its last holder asked for the ack, and no answer contradicts that it was done. A refusal does not: an ack
    /// that was heard, and sent again as its answer was lost, is refused when the group has changed meanwhile.
    fn may_be_settled(&self) -> bool {
        self.answer.is_some() && !self.is_nacked()
    }

    fn is_nacked(&self) -> bool {
        matches!(
            self.answer,
            Some(Answer::Said(Settled::Nacked) | Answer::Refusing)
        )
    }
}

impl Judged {
    fn sample(&mut self, entry: Entry, what: &'static str) {
        if self.sampled.len() < SAMPLES {
            self.sampled.push((entry, what));
        }
    }

    /// Tells of each sample what the processes journaled, in milliseconds since the run's first event.
    fn tell_stories(&mut self, events: &[(usize, Event)]) {
        let first = events.first().map(|(_, event)| event.at).unwrap_or_default();
        for (entry, what) in std::mem::take(&mut self.sampled) {
            let mut story = format!(
                "message {} of publisher {} {what}:",
                entry.sequence, entry.publisher
            );
            for (process, event) in events {
                let told = match &event.what {
                    What::Delivered {
                        entry: of,
                        attempt,
                        key,
                        ..
                    } if *of == entry => {
                        format!("attempt {attempt}, key {key}")
                    }
                    What::Settled { entry: of, answer } if *of == entry => format!("{answer:?}"),
                    What::Acking { entry: of } if *of == entry => "acking".to_owned(),
                    What::Nacking { entry: of } if *of == entry => "nacking".to_owned(),
                    What::Unsettled { entry: of } if *of == entry => "settling failed".to_owned(),
                    _ => continue,
                };
                let at = event.at.since(first).as_millis();
                let _ = write!(story, " [{at} ms, process {process}: {told}]");
            }
            self.samples.push(story);
        }
    }
}

#[cfg(test)]
mod tests;
