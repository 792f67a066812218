//! Messages that are handled together.

use std::ops::Deref;
use std::vec::IntoIter;

use crate::incoming::Incoming;

/// Messages that are handled together, in the order of their delivery: the request of every service and layer of a
/// subscriber that handles in batches. There is at least one.
#[derive(Debug)]
pub struct IncomingBatch(Vec<Incoming>);

impl IncomingBatch {
    pub(crate) fn new(messages: Vec<Incoming>) -> Self {
        Self(messages)
    }
}

impl IncomingBatch {
    /// A second look at the same messages, for a layer that may have to hand them in again.
    #[must_use]
    pub fn view(&self) -> Self {
        self.iter().map(Incoming::view).collect()
    }
}

impl Deref for IncomingBatch {
    type Target = [Incoming];

    fn deref(&self) -> &[Incoming] {
        &self.0
    }
}

impl IntoIterator for IncomingBatch {
    type Item = Incoming;
    type IntoIter = IntoIter<Incoming>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<Incoming> for IncomingBatch {
    fn from_iter<I: IntoIterator<Item = Incoming>>(messages: I) -> Self {
        Self(messages.into_iter().collect())
    }
}
