//! What others may look at while a service runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a service is, for who asks by HTTP. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Why it takes no messages now; nothing, where it does.
    not_ready: Option<String>,
    /// Whether it was asked to stop.
    stopping: bool,
    /// The page for Prometheus.
    metrics: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            not_ready: Some("starting".to_owned()),
            stopping: false,
            metrics: String::new(),
        }
    }
}

impl Pulse {
    pub(super) fn ready(&self) {
        let mut state = self.lock();
        if !state.stopping {
            state.not_ready = None;
        }
    }

    pub(super) fn not_ready(&self, why: impl Into<String>) {
        let mut state = self.lock();
        if !state.stopping {
            state.not_ready = Some(why.into());
        }
    }

    /// It was asked to stop; answers whether that had happened before.
    pub(super) fn stops(&self) -> bool {
        let mut state = self.lock();
        state.not_ready = Some("stopping".to_owned());
        std::mem::replace(&mut state.stopping, true)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    pub(super) fn set_metrics(&self, page: String) {
        self.lock().metrics = page;
    }

    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody can ask"))]
    pub(crate) fn readiness(&self) -> Option<String> {
        self.lock().not_ready.clone()
    }

    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody can ask"))]
    pub(crate) fn metrics(&self) -> String {
        self.lock().metrics.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
