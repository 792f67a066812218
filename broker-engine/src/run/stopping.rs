//! When to stop, and how fast.

use tokio::sync::watch;

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Messages are read and handled.
    Running,
    /// Nothing new is read; what is being handled goes on to its end.
    Draining,
    /// What is still being handled is cut off.
    Aborting,
}

/// Says when to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<Phase>);

/// Hears when to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<Phase>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }

    /// Goes on to `phase`; there is no way back.
    pub(crate) fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    pub(crate) fn listen(&self) -> Stopping {
        Stopping(self.0.subscribe())
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}

impl Stopping {
    /// Waits until `phase` is reached; who says so having gone away means the worst.
    pub(crate) async fn reached(mut self, phase: Phase) {
        let _ = self.0.wait_for(|current| *current >= phase).await;
    }
}
