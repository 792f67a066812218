//! What was published, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_core::{Message, MessageId, Outcome, Published, StreamName};

/// A message that a broker has stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// Where it was published to.
    pub stream: StreamName,
    /// Its place there.
    pub id: MessageId,
    /// The message.
    pub message: Message,
}

/// What was published, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape(Arc<Mutex<Vec<Recorded>>>);

impl Tape {
    /// Keeps those of `messages` that were stored.
    pub(super) fn record(&self, stream: &StreamName, messages: Vec<Message>, published: &Published) {
        let mut tape = self.lock();
        for (index, message) in messages.into_iter().enumerate() {
            if let Some(Outcome::Stored(id)) = published.outcome(index) {
                tape.push(Recorded {
                    stream: stream.clone(),
                    id,
                    message,
                });
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.lock().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
