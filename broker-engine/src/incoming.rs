//! A message on its way to its handler.

use broker_core::broker::Delivery;

use crate::context::Context;

/// A message on its way to its handler: the request of every service and layer of the engine.
///
/// The engine settles the delivery by what the service answers; the one in here is a [view](Delivery::view), by which a
/// handler with [`AckPolicy::Manual`](crate::AckPolicy::Manual) settles it itself.
#[derive(Debug)]
pub struct Incoming {
    /// The message with its attempt number and receipt.
    pub delivery: Delivery,
    /// Where it is handled.
    pub context: Context,
}

impl Incoming {
    /// A second look at the same message, for a layer that may have to hand it in again.
    #[must_use]
    pub fn view(&self) -> Self {
        Self {
            delivery: self.delivery.view(),
            context: self.context.clone(),
        }
    }
}
