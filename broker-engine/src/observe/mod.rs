//! Looking at handlings from outside: for tests and metrics.

mod observed;
mod observer;

pub use observer::{Ended, Observer};

use std::sync::Arc;

use crate::subscriber::Declared;
use observed::Observed;

impl Declared {
    /// The same subscriber, of whose handlings `observer` is told.
    pub(crate) fn observed(mut self, observer: &Arc<dyn Observer>) -> Self {
        let (make, observer) = (Arc::clone(&self.make), Arc::clone(observer));
        self.make = Arc::new(move || Box::new(Observed::new(make(), Arc::clone(&observer))));
        self
    }
}
