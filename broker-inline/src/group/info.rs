//! A group as an operator sees it.

use broker_core::{GroupInfo, MemberInfo};
use broker_window::{Moment, Who};

use super::group::Group;
use crate::stream::Stream;

impl Group {
    /// When something becomes ready by itself, at the earliest.
    pub(crate) fn due(&self) -> Moment {
        self.all_progress()
            .map(|progress| progress.lock().window.due())
            .min()
            .unwrap_or(Moment::NEVER)
    }

    /// Handed out and not settled.
    pub(crate) fn pending(&self) -> u64 {
        self.all_progress()
            .map(|progress| progress.lock().window.pending())
            .sum()
    }

    /// Whether a window is so full that nothing new is handed out.
    pub(crate) fn is_stuck(&self) -> bool {
        self.all_progress()
            .any(|progress| progress.lock().window.room() == 0)
    }

    /// What an operator sees.
    pub(crate) fn info(&self, stream: &Stream, now: Moment) -> GroupInfo {
        let (mut pending, mut lag, mut oldest) = (0, 0, None::<Moment>);
        let mut held: Vec<Who> = Vec::new();
        for (partition, progress) in self.progress().iter().enumerate() {
            let inner = progress.lock();
            pending += inner.window.pending();
            lag += inner.window.parked() + stream.tail(partition).saturating_sub(inner.window.next());
            oldest = oldest.into_iter().chain(inner.window.oldest()).min();
            held.extend(inner.window.holders());
        }
        if let Some(replayed) = self.replayed.get() {
            let inner = replayed.progress.lock();
            pending += inner.window.pending();
            lag += inner.window.parked() + replayed.lag(inner.window.next());
            oldest = oldest.into_iter().chain(inner.window.oldest()).min();
            held.extend(inner.window.holders());
        }
        let members = self
            .members
            .lock()
            .shown(&held)
            .into_iter()
            .map(|member| MemberInfo {
                consumer: member.name.clone(),
                pending: held.iter().filter(|who| **who == member.who).count() as u64,
                idle: now.since(member.last_seen()),
            });
        GroupInfo {
            group: self.name.clone(),
            members: members.collect(),
            pending,
            lag,
            oldest_pending: oldest.map(|oldest| now.since(oldest)),
        }
    }
}
