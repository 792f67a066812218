//! A message on its way to its handler.

use std::ops::Deref;
use std::sync::Arc;

use broker_core::broker::Delivery;

use crate::context::Context;

/// A message on its way to its handler: the request of every service and layer of the engine.
///
/// The engine settles the delivery by what the service answers; the one in here is a [view](Delivery::view), by which a
/// handler with [`AckPolicy::Manual`](crate::AckPolicy::Manual) settles it itself.
///
/// It is one pointer wide: services hand it on by value, and when the last of them lets go of it the engine puts the next
/// message in its place.
#[derive(Debug)]
pub struct Incoming(Arc<Parts>);

/// What an [`Incoming`] is made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts {
    /// The message with its attempt number and receipt.
    pub delivery: Delivery,
    /// Where it is handled.
    pub context: Context,
}

impl Incoming {
    /// A second look at the same message, for a layer that may have to hand it in again.
    #[must_use]
    #[inline]
    pub fn view(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn new(delivery: Delivery, context: Context) -> Self {
        Self(Arc::new(Parts { delivery, context }))
    }

    /// The delivery, to put another in its place; `None` where a service still holds this one.
    #[inline]
    pub(crate) fn delivery_mut(&mut self) -> Option<&mut Delivery> {
        Arc::get_mut(&mut self.0).map(|parts| &mut parts.delivery)
    }
}

impl Deref for Incoming {
    type Target = Parts;

    #[inline]
    fn deref(&self) -> &Parts {
        &self.0
    }
}
