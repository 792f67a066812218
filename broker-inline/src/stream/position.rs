//! Where a start position is in the logs.

use broker_core::{Error, ErrorKind, Result, StartPosition};

use super::state::State;
use super::stream::Stream;
use crate::clock::Stamp;
use crate::log::Log;

impl Stream {
    /// The offset of `position` in a partition.
    pub(crate) fn resolve(&self, partition: usize, position: &StartPosition) -> Result<u64> {
        self.lock().resolve(partition, position)
    }
}

impl State {
    /// The offset of `position` in a partition: what was trimmed away is the oldest message kept, what is to come the end.
    pub(super) fn resolve(&self, partition: usize, position: &StartPosition) -> Result<u64> {
        let Some(log) = self.logs.get(partition) else {
            return Ok(0);
        };
        match position {
            StartPosition::Earliest => Ok(log.head()),
            StartPosition::Latest => Ok(log.tail()),
            StartPosition::Time(time) => Ok(log.first_since(Stamp::from(*time))),
            StartPosition::Id(id) => self.resolve_id(log, id),
        }
    }

    fn resolve_id(&self, log: &Log, id: &broker_core::MessageId) -> Result<u64> {
        if let broker_core::MessageId::Offset { partition, offset } = id {
            if *partition == log.partition() {
                return Ok((*offset).clamp(log.head(), log.tail()));
            }
            let other = usize::try_from(*partition)
                .ok()
                .and_then(|partition| self.logs.get(partition));
            let Some(other) = other else {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("message id `{id}` names a partition that the stream does not have"),
                ));
            };
            // In the other partitions, what was stored at that message's time or later follows it.
            return Ok(match other.stamp_at(*offset) {
                Some(at) => log.first_since(at),
                None if *offset < other.head() => log.head(),
                None => log.tail(),
            });
        }
        if self.delayed.contains(id) {
            return Ok(log.tail());
        }
        let found = self
            .logs
            .iter()
            .find_map(|other| other.offset_of(id).map(|offset| (other, offset)));
        match found {
            Some((other, offset)) if other.partition() == log.partition() => Ok(offset),
            Some((other, offset)) => Ok(other
                .stamp_at(offset)
                .map_or(log.head(), |at| log.first_since(at))),
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("the stream has no message `{id}`"),
            )),
        }
    }
}
