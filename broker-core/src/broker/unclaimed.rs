//! What was read and is not handed out yet.

use std::sync::Arc;

use super::consumer::Consumer;
use crate::base::Deliveries;

/// Deliveries that go back unless somebody comes for them.
pub(super) struct Unclaimed {
    consumer: Arc<Consumer>,
    deliveries: Deliveries,
}

impl Unclaimed {
    pub(super) fn new(consumer: Arc<Consumer>, deliveries: Deliveries) -> Self {
        Self { consumer, deliveries }
    }

    pub(super) fn claim(mut self) -> Deliveries {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let runs = self.deliveries.lots().iter().flat_map(|lot| lot.runs_from(0));
        self.consumer.give_back(runs.collect());
    }
}
