//! What a declaration of queues says.

use std::collections::BTreeMap;

use broker_core::{GroupName, StreamName};
use serde::Deserialize;

use super::error::QueueError;

/// The group of commands: the one that a subscriber of kind `command` is in.
const GROUP: &str = "handlers";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    queues: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    stream: Option<String>,
    group: Option<String>,
}

/// One declared queue.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) stream: StreamName,
    pub(super) group: GroupName,
}

/// Reads a declaration that stands at `place`.
pub(super) fn read(text: &str, place: &str) -> Result<BTreeMap<String, Declaration>, QueueError> {
    let document: Document = serde_json::from_str(text).map_err(|error| QueueError::Declaration {
        place: place.to_owned(),
        reason: error.to_string(),
        source: Some(Box::new(error)),
    })?;
    let mut queues = BTreeMap::new();
    for (index, entry) in document.queues.into_iter().enumerate() {
        let bad = |key: &str, name: &str, error: broker_core::Error| QueueError::BadName {
            name: name.to_owned(),
            place: format!("{place}: queues[{index}].{key}"),
            source: error,
        };
        let name = StreamName::new(entry.name.clone()).map_err(|error| bad("name", &entry.name, error))?;
        let stream = match &entry.stream {
            Some(stream) => StreamName::new(stream.clone()).map_err(|error| bad("stream", stream, error))?,
            None => name,
        };
        let group = entry.group.as_deref().unwrap_or(GROUP);
        let group = GroupName::new(group).map_err(|error| bad("group", group, error))?;
        if queues
            .insert(entry.name.clone(), Declaration { stream, group })
            .is_some()
        {
            return Err(QueueError::Declaration {
                place: format!("{place}: queues[{index}].name"),
                reason: format!("the queue `{}` is declared twice; keep one", entry.name),
                source: None,
            });
        }
    }
    Ok(queues)
}
