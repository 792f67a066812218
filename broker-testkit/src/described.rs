//! What a harness is told of an adapter and its server.

use broker_core::Capabilities;

use crate::{Limits, Timing};

/// What a harness is told of an adapter and its server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    pub(crate) mode: String,
    pub(crate) setup: String,
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) allow_unproved: Capabilities,
}

/// The setters of a harness that has a field `described`: methods of its own, so that the report's words, what the server
/// bounds and how long things take are told to each harness alike.
macro_rules! setters {
    () => {
        /// Sets the adapter's mode, for the report.
        #[must_use]
        pub fn mode(mut self, mode: impl Into<String>) -> Self {
            self.described.mode = mode.into();
            self
        }

        /// Sets what the report calls this setup, such as `cluster`.
        #[must_use]
        pub fn setup(mut self, setup: impl Into<String>) -> Self {
            self.described.setup = setup.into();
            self
        }

        /// Sets how long things take.
        #[must_use]
        pub fn timing(mut self, timing: crate::Timing) -> Self {
            self.described.timing = timing;
            self
        }

        /// Sets what the server bounds.
        #[must_use]
        pub fn limits(mut self, limits: crate::Limits) -> Self {
            self.described.limits = limits;
            self
        }

        /// Allows flags that no check can prove.
        #[must_use]
        pub fn allow_unproved(mut self, flags: broker_core::Capabilities) -> Self {
            self.described.allow_unproved = flags;
            self
        }
    };
}

/// What such a harness answers with them.
macro_rules! answers {
    () => {
        fn mode(&self) -> String {
            self.described.mode.clone()
        }

        fn setup(&self) -> String {
            self.described.setup.clone()
        }

        fn timing(&self) -> crate::Timing {
            self.described.timing
        }

        fn limits(&self) -> crate::Limits {
            self.described.limits
        }

        fn allow_unproved(&self) -> broker_core::Capabilities {
            self.described.allow_unproved
        }
    };
}

pub(crate) use {answers, setters};
