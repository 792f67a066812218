//! Deliveries on their way to the dead letters, and back.

use std::sync::Arc;
use std::time::SystemTime;

use broker_core::base::Disposition;
use broker_core::{DeadLetter, Failure, MessageId, ReceiptRun, Result, Selection, Settled, Settlements};
use broker_window::{Moment, Purpose, Who};

use super::dead_letters::DeadLetterStore;
use super::group::Group;
use super::members::Member;
use super::progress::Effects;
use super::replayed::{self, Replayed};
use crate::answers::Answers;
use crate::limits::Limits;
use crate::log::Segment;
use crate::stream::Stream;

impl Group {
    /// Writes deliveries to the dead letters, then settles them; where there is no room, all of them stay.
    pub(crate) fn bury(
        &self,
        stream: &Stream,
        runs: &[ReceiptRun],
        member: &Member,
        (disposition, failure): (Disposition, &Failure),
        now: Moment,
    ) -> Result<Settlements> {
        let wanted = runs
            .iter()
            .map(|run| self.count_settleable(run, member.who, now))
            .sum();
        self.dead.lock().reserve(wanted)?;
        let mut left = wanted;
        let mut answers = Answers::new(Settled::Nacked);
        let mut effects = Effects::default();
        let at = SystemTime::now();
        for run in runs {
            let Some(progress) = self.progress_of(run) else {
                answers.fill(Settled::NotPending, u64::from(run.len));
                continue;
            };
            let mut inner = progress.lock();
            let low = inner.window.low();
            let tag = inner.tag_of(&run.first);
            for receipt in run.iter() {
                let checked = tag.and_then(|tag| {
                    inner
                        .window
                        .check(receipt.sequence, tag, member.who, now)
                        .map(|()| tag)
                });
                let tag = match checked {
                    Ok(tag) => tag,
                    Err(settled) => {
                        answers.push(settled);
                        continue;
                    }
                };
                let offset = receipt.sequence;
                let segment = self.find(stream, receipt.partition, offset);
                let message = segment.as_ref().and_then(|segment| segment.at(offset)).cloned();
                // Without a message there is nothing to keep: it was removed by force, and that was reported.
                if let (Some(segment), Some(message)) = (segment, message)
                    && left > 0
                {
                    left -= 1;
                    self.dead.lock().keep(DeadLetter {
                        id: MessageId::Text("".into()),
                        original_id: segment.id_at(receipt.partition, offset),
                        stream: stream.name.clone(),
                        group: self.name.clone(),
                        partition: segment.partition_at(receipt.partition, offset),
                        message,
                        failure: failure.clone(),
                        attempts: disposition.attempts(tag.attempt()),
                        first_failed: inner.window.first_failed(offset).unwrap_or(at),
                        last_failed: at,
                        consumer: member.name.clone(),
                    });
                }
                effects.readable += u64::from(inner.window.settle(offset, Purpose::Done, now));
                answers.usual(1);
            }
            effects.advanced += inner.window.low() - low;
            progress.publish_low(&inner);
        }
        self.dead.lock().release(left);
        if let Some(replayed) = self.replayed.get() {
            replayed.clean();
        }
        self.follow_up(stream, effects);
        Ok(answers.finish())
    }

    /// The dead letters.
    pub(crate) fn dead<R>(&self, work: impl FnOnce(&mut DeadLetterStore) -> R) -> R {
        work(&mut self.dead.lock())
    }

    /// Hands dead letters out again to this group; answers how many.
    pub(crate) fn replay_dead(&self, selection: &Selection) -> Result<u64> {
        let replayed = self.replayed.get_or_init(|| {
            let Limits {
                max_unsettled,
                max_dead_letters,
                ..
            } = self.limits;
            Box::new(Replayed::new(
                max_unsettled,
                max_dead_letters,
                self.limits.segments(),
            ))
        });
        let mut dead = self.dead.lock();
        let letters = dead.take(selection)?;
        let count = letters.len() as u64;
        if let Err((letters, error)) = replayed.append(letters) {
            dead.put_back(letters);
            return Err(error);
        }
        drop(dead);
        self.tell_readable(count);
        Ok(count)
    }

    fn find(&self, stream: &Stream, partition: u32, offset: u64) -> Option<Arc<Segment>> {
        let segment = if partition == replayed::PARTITION {
            self.replayed.get()?.find(offset)
        } else {
            stream.find(partition as usize, offset)
        };
        segment.filter(|segment| segment.first() <= offset)
    }

    fn count_settleable(&self, run: &ReceiptRun, who: Who, now: Moment) -> usize {
        let Some(progress) = self.progress_of(run) else {
            return 0;
        };
        let inner = progress.lock();
        let Ok(tag) = inner.tag_of(&run.first) else {
            return 0;
        };
        run.iter()
            .filter(|receipt| inner.window.check(receipt.sequence, tag, who, now).is_ok())
            .count()
    }
}
