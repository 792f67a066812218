//! Clients of the library that were dropped: they block while they end, which is done on threads of their own.

use std::sync::Mutex;
use std::thread::JoinHandle;

use crate::client::lock;

/// The threads on which clients of the library end.
#[derive(Default)]
pub(crate) struct Endings(Mutex<Vec<JoinHandle<()>>>);

impl Endings {
    /// Drops what blocks while it ends, on a thread of its own.
    pub(crate) fn end<T: Send + 'static>(&self, ending: T) {
        if let Some(thread) = apart(move || drop(ending)) {
            let mut threads = lock(&self.0);
            threads.retain(|thread| !thread.is_finished());
            threads.push(thread);
        }
    }

    /// Waits until all have ended.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *lock(&self.0));
        for thread in threads {
            if thread.join().is_err() {
                tracing::warn!("a thread that ended a client of the library failed");
            }
        }
    }
}

/// Does what blocks on a thread of its own.
pub(crate) fn apart(work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("kafka-end".to_owned());
    thread.spawn(work).ok()
}
