//! The consumers of one group.

use std::collections::HashMap;
use std::sync::Arc;

use broker_core::{ConsumerName, Error, ErrorKind, Result};
use broker_window::{Moment, Who};

use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// The most members a group has at once; beyond, those that hold nothing and were not seen for longest are forgotten.
const MOST: usize = 4_096;

/// A consumer of a group, numbered so that a slot can name it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: ConsumerName,
    pub(crate) who: Who,
    seen: AtomicU64,
    /// Forgotten by its group: it has to join again before it reads.
    out: AtomicBool,
    /// Left on purpose: it is shown only while it holds something.
    left: AtomicBool,
}

impl Member {
    /// It read or settled just now.
    #[inline]
    pub(crate) fn see(&self, now: Moment) {
        self.seen.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn last_seen(&self) -> Moment {
        Moment(self.seen.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn is_out(&self) -> bool {
        self.out.load(Ordering::Relaxed)
    }

    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}

/// The consumers of one group, by name.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_name: HashMap<ConsumerName, Arc<Member>>,
    /// Numbers are never used twice, so that an old receipt fits no new member.
    next: u32,
}

impl Members {
    /// The member of this name, which joins if it is not there. `holds` tells who must not be forgotten.
    pub(crate) fn join(
        &mut self,
        name: &ConsumerName,
        now: Moment,
        holds: impl FnOnce() -> Vec<Who>,
    ) -> Result<Arc<Member>> {
        if let Some(member) = self.by_name.get(name) {
            member.left.store(false, Ordering::Relaxed);
            return Ok(member.clone());
        }
        if self.by_name.len() >= MOST {
            self.forget_one(&holds())?;
        }
        let who = Who::member(self.next).ok_or_else(|| {
            Error::new(
                ErrorKind::Throttled,
                "the group has had sixteen million consumers; give consumers stable names, and delete the group",
            )
        })?;
        self.next += 1;
        let member = Arc::new(Member {
            name: name.clone(),
            who,
            seen: AtomicU64::new(now.0),
            out: AtomicBool::new(false),
            left: AtomicBool::new(false),
        });
        self.by_name.insert(name.clone(), member.clone());
        Ok(member)
    }

    /// Lets a forgotten member in again, under its old number; one of the same name that joined meanwhile stays.
    pub(crate) fn rejoin(&mut self, member: &Arc<Member>) {
        member.out.store(false, Ordering::Relaxed);
        self.by_name
            .entry(member.name.clone())
            .or_insert_with(|| member.clone());
    }

    pub(crate) fn get(&self, name: &ConsumerName) -> Option<&Arc<Member>> {
        self.by_name.get(name)
    }

    /// Forgets a member.
    pub(crate) fn remove(&mut self, name: &ConsumerName) -> Option<Arc<Member>> {
        let member = self.by_name.remove(name)?;
        member.out.store(true, Ordering::Relaxed);
        Some(member)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        for (_, member) in self.by_name.drain() {
            member.out.store(true, Ordering::Relaxed);
        }
    }

    /// The members by name, those left out that left and are not among `holders`.
    pub(crate) fn shown(&self, holders: &[Who]) -> Vec<Arc<Member>> {
        let mut shown: Vec<_> = self
            .by_name
            .values()
            .filter(|member| !member.has_left() || holders.contains(&member.who))
            .cloned()
            .collect();
        shown.sort_by(|one, other| one.name.cmp(&other.name));
        shown
    }

    fn forget_one(&mut self, holders: &[Who]) -> Result<()> {
        let name = self
            .by_name
            .values()
            .filter(|member| !holders.contains(&member.who))
            .min_by_key(|member| member.last_seen())
            .map(|member| member.name.clone());
        match name {
            Some(name) => {
                self.remove(&name);
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Throttled,
                format!("the group has {MOST} consumers and each holds deliveries; remove some of them"),
            )),
        }
    }
}
