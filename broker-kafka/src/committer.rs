//! The thread that commits for a group, so that the one that polls need not wait for the answer.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use broker_core::{Error, ErrorKind, Result};
use rdkafka::consumer::Consumer as _;

use crate::poller::GroupConsumer;

/// A thread that commits what changed, each time it is told to.
///
/// The library would commit without a wait as well, but tells nobody whether that went well.
pub(crate) struct Committer {
    tell: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Committer {
    pub(crate) fn start(consumer: &Arc<GroupConsumer>) -> Result<Self> {
        // One word waiting is enough: it stands for all that changed until it is heard.
        let (tell, told) = sync_channel(1);
        let consumer = Arc::clone(consumer);
        let work = move || {
            while told.recv().is_ok() {
                // What failed is kept as changed, and committed with the next.
                let _ = consumer.context().commit(&consumer);
            }
        };
        let thread = std::thread::Builder::new()
            .name("kafka-commit".to_owned())
            .spawn(work)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "no thread to commit with").source(error))?;
        Ok(Self { tell, thread })
    }

    /// Has it commit soon.
    pub(crate) fn tell(&self) {
        let _ = self.tell.try_send(());
    }

    /// Waits until what it does is done, and ends it.
    pub(crate) fn stop(self) {
        let Self { tell, thread } = self;
        drop(tell);
        if thread.join().is_err() {
            tracing::warn!("the thread that commits failed");
        }
    }
}
