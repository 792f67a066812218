//! Names that were resolved: a stream's partitions, and what this process knows about groups.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{GroupName, Result, StreamName};
use redis::{Pipeline, Value};

use crate::client::{Client, Topic, lock};
use crate::group::Group;
use crate::keys::{self, STREAMS, StreamKeys};
use crate::reply;

/// How many resolved names are kept; beyond that they are resolved anew.
const RESOLVED: usize = 4096;

impl Client {
    /// The stream's partitions; the first time, the stream is put into the index.
    pub(crate) async fn topic(&self, stream: &StreamName) -> Result<Topic> {
        if let Some(known) = lock(&self.topics).get(stream) {
            return Ok(Arc::clone(known));
        }
        let key = keys::partition_count(stream);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SADD").arg(STREAMS).arg(stream.as_str());
        if self.config.partitions > 1 {
            // A stream that is there keeps the number it was made with: a key must not change its partition.
            pipeline
                .cmd("SET")
                .arg(&key)
                .arg(self.config.partitions)
                .arg("NX");
        }
        pipeline.cmd("GET").arg(&key);
        let mut count = Value::Nil;
        for answer in self.pipeline(&pipeline).await? {
            count = reply::granted(answer)?;
        }
        let count = reply::count(&count)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1)
            .max(1);
        let partitions = (0..count).map(|number| Arc::new(StreamKeys::new(stream, number, count)));
        let topic: Topic = partitions.collect();
        let mut topics = lock(&self.topics);
        if topics.len() >= RESOLVED {
            topics.clear();
        }
        Ok(Arc::clone(topics.entry(stream.clone()).or_insert(topic)))
    }

    /// Forgets a stream that was removed, so that its next use puts it into the index again.
    pub(crate) fn forget_stream(&self, stream: &StreamName) {
        lock(&self.topics).remove(stream);
        lock(&self.groups).retain(|(name, _, _), _| name != stream);
    }

    /// What this process knows about a group of one partition.
    pub(crate) fn group(&self, stream: &StreamKeys, group: &GroupName) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        if groups.len() >= RESOLVED {
            groups.retain(|_, group| Arc::strong_count(group) > 1);
        }
        let entry = groups.entry((stream.name.clone(), group.clone(), stream.partition));
        Arc::clone(entry.or_insert_with(|| Arc::new(Group::new(stream, group))))
    }

    /// Tells the stream's readers of this process that something is due after `delay`.
    pub(crate) fn due_in(&self, stream: &StreamName, delay: Duration) {
        let groups = lock(&self.groups);
        for (_, group) in groups.iter().filter(|((name, _, _), _)| name == stream) {
            group.due_in(delay);
        }
    }
}
