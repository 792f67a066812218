//! A stream's groups.

use std::sync::Arc;

use broker_core::{
    BrokerEvent, Error, ErrorKind, GroupName, MessageId, PartitionInfo, Result, StartPosition,
};

use super::state::State;
use super::stream::Stream;
use crate::group::Group;

impl Stream {
    /// The group of this name, if it is there.
    pub(crate) fn group(&self, name: &GroupName) -> Option<Arc<Group>> {
        let group = self.lock().group(name)?;
        group.is_live().then_some(group)
    }

    /// The group of this name, for an operation that can't do without.
    pub(crate) fn expect_group(&self, name: &GroupName) -> Result<Arc<Group>> {
        self.group(name).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "stream `{}` has no group `{name}`; create it, or read from it once",
                    self.name
                ),
            )
        })
    }

    /// The groups that are there, by name.
    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.lock().live_groups().cloned().collect()
    }

    /// The group of this name, which is made to start at `start` if it is not there; and whether it was made.
    pub(crate) fn open_group(&self, name: &GroupName, start: &StartPosition) -> Result<(Arc<Group>, bool)> {
        let mut state = self.lock();
        if let Some(group) = state.group(name) {
            drop(state);
            let made = self.revive(&group, start)?;
            return Ok((group, made));
        }
        if state.groups.len() >= self.limits.max_groups {
            state.forget_unused_groups();
        }
        if state.groups.len() >= self.limits.max_groups {
            return Err(Error::new(
                ErrorKind::Throttled,
                format!(
                    "stream `{}` has {} groups, as many as it may (max_groups); delete one",
                    self.name, self.limits.max_groups
                ),
            ));
        }
        let starts: Vec<u64> = (0..self.partitions())
            .map(|partition| state.resolve(partition, start))
            .collect::<Result<_>>()?;
        let group = Arc::new(Group::new(
            self.next_group_id(),
            name.clone(),
            &starts,
            self.limits,
        ));
        state.open_gate(&group.gate);
        state.add_group(group.clone());
        state.live = true;
        Ok((group, true))
    }

    /// Makes a deleted group anew, as the same object; answers `false` where it was there.
    fn revive(&self, group: &Group, start: &StartPosition) -> Result<bool> {
        let mut made = false;
        if group.is_live() {
            return Ok(made);
        }
        for (partition, progress) in group.progress().iter().enumerate() {
            let mut inner = progress.lock();
            if inner.is_gone() {
                let mut state = self.lock();
                inner.restart(state.resolve(partition, start)?);
                progress.publish_low(&inner);
                state.live = true;
                made = true;
            }
        }
        Ok(made)
    }

    /// Makes a group anew that was deleted while a consumer had it, and tells so.
    pub(crate) fn recreate(&self, group: &Group, start: &StartPosition) -> Result<()> {
        if self.revive(group, start)? {
            let position = self.position_of(group);
            self.tell(&BrokerEvent::GroupRecreated {
                stream: self.name.clone(),
                group: group.name.clone(),
                position,
            });
        }
        Ok(())
    }

    fn position_of(&self, group: &Group) -> Option<MessageId> {
        let state = self.lock();
        state
            .logs
            .iter()
            .enumerate()
            .find_map(|(partition, log)| log.id_at(group.low(partition)))
    }

    /// Moves a group.
    pub(crate) fn seek(&self, group: &Group, position: &StartPosition) -> Result<()> {
        group.seek(|partition, restart| {
            let state = self.lock();
            restart(state.resolve(partition, position)?);
            Ok(())
        })?;
        self.wake_publisher();
        Ok(())
    }

    /// Deletes a group; answers `false` where there was none.
    pub(crate) fn delete_group(&self, name: &GroupName, force: bool) -> Result<bool> {
        let Some(group) = self.group(name) else {
            return Ok(false);
        };
        group.end(force)?;
        drop(group);
        self.lock().forget_unused_groups();
        self.wake_publisher();
        Ok(true)
    }

    /// The partitions as a group sees them.
    pub(crate) fn assignments(&self, group: &Group) -> Vec<PartitionInfo> {
        let by_partition = (0_u32..).zip(group.progress()).zip(0..);
        by_partition
            .map(|((partition, progress), place)| {
                let inner = progress.lock();
                PartitionInfo {
                    partition,
                    owner: None,
                    generation: u64::from(inner.generation()),
                    lag: inner.window.parked() + self.tail(place).saturating_sub(inner.window.next()),
                }
            })
            .collect()
    }
}

impl State {
    /// The group of this name, deleted or not.
    fn group(&self, name: &GroupName) -> Option<Arc<Group>> {
        let place = self.place_of(name).ok()?;
        self.groups.get(place).cloned()
    }

    fn add_group(&mut self, group: Arc<Group>) {
        if let Err(place) = self.place_of(&group.name) {
            self.groups.insert(place, group);
        }
    }

    fn place_of(&self, name: &GroupName) -> std::result::Result<usize, usize> {
        self.groups.binary_search_by(|group| group.name.cmp(name))
    }

    /// Lets go of deleted groups that nobody holds.
    pub(super) fn forget_unused_groups(&mut self) {
        self.groups
            .retain(|group| group.is_live() || Arc::strong_count(group) > 1);
    }
}
