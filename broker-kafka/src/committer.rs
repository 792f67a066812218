//! The thread that asks the server for a group, so that the one that polls need not wait for the answer.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;

use broker_core::{Error, ErrorKind, Result};
use rdkafka::consumer::Consumer as _;

use crate::poller::GroupConsumer;
use crate::watchdog::Watchdog;

/// A thread that commits what changed, each time it is told to, and looks after silent partitions in between.
///
/// The library would commit without a wait as well, but tells nobody whether that went well.
pub(crate) struct Committer {
    tell: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Committer {
    pub(crate) fn start(consumer: &Arc<GroupConsumer>, mut watchdog: Watchdog) -> Result<Self> {
        // One word waiting is enough: it stands for all that changed until it is heard.
        let (tell, told) = sync_channel(1);
        let consumer = Arc::clone(consumer);
        let work = move || {
            loop {
                match told.recv_timeout(watchdog.pause()) {
                    // What failed is kept as changed, and committed with the next.
                    Ok(()) => _ = consumer.context().commit(&consumer),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                watchdog.look(&consumer);
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
