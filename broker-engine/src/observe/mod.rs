//! Looking at handlings from outside: for tests and metrics.

mod observed;
mod observed_batch;
mod observer;
mod traced;

pub use observer::{Ended, Observer};

use std::sync::Arc;

use crate::subscriber::{Declared, Make};
use observed::Observed;
use observed_batch::ObservedBatch;
use traced::Traced;

impl Declared {
    /// The same subscriber, of whose handlings `observer` is told.
    pub(crate) fn observed(mut self, observer: &Arc<dyn Observer>) -> Self {
        let observer = Arc::clone(observer);
        self.make = match self.make {
            Make::Single(make) => Make::Single(Arc::new(move || {
                Box::new(Observed::new(make(), Arc::clone(&observer)))
            })),
            Make::Batched(batching, make) => Make::Batched(
                batching,
                Arc::new(move || Box::new(ObservedBatch::new(make(), Arc::clone(&observer)))),
            ),
        };
        self
    }

    /// The same subscriber, each of whose handlings is within a span.
    pub(crate) fn traced(mut self) -> Self {
        self.make = match self.make {
            Make::Single(make) => Make::Single(Arc::new(move || Box::new(Traced::new(make())))),
            Make::Batched(batching, make) => {
                Make::Batched(batching, Arc::new(move || Box::new(Traced::new(make()))))
            }
        };
        self
    }
}
