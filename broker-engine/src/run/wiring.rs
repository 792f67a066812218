//! What all lanes of a subscriber share.

use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::{Broker, Delivery};
use broker_core::{Capabilities, StreamName};

use super::key::KeyMark;
use super::tally::Tally;
use crate::context::Context;
use crate::retry::RetryPolicy;
use crate::subscriber::{AckPolicy, OnUndecodable, OrderedBy};

/// What all lanes of a subscriber share.
pub(crate) struct Wiring {
    pub(crate) context: Context,
    pub(crate) routes: Vec<RouteInfo>,
    pub(crate) strategy: Strategy,
    pub(crate) ack: AckPolicy,
    pub(crate) ordered_by: OrderedBy,
    pub(crate) lease: Duration,
    pub(crate) tally: Arc<Tally>,
    pub(crate) seed: u64,
}

/// What one declared subscriber of the group says about its messages.
pub(crate) struct RouteInfo {
    pub(crate) kinds: Vec<Arc<str>>,
    pub(crate) handles_rest: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) undecodable: OnUndecodable,
}

/// What the broker does itself, and what the engine adds where it does not.
#[derive(Clone, Debug)]
pub(crate) struct Strategy {
    /// The broker takes refusals: redelivery, with its delay, is its affair.
    pub(crate) rejects: bool,
    /// The broker takes acks.
    pub(crate) acknowledges: bool,
    /// Leases can be prolonged.
    pub(crate) extends: bool,
    /// Where dead letters are published to, on a broker that keeps none.
    pub(crate) dead_stream: Option<StreamName>,
}

impl Strategy {
    /// What `broker` does, and where its dead letters go if it keeps none.
    pub(crate) fn of(broker: &Broker, dead_stream: Option<StreamName>) -> Self {
        let has = broker.capabilities();
        let keeps = has.contains(Capabilities::DEAD_LETTER_QUEUE);
        Self {
            rejects: has.contains(Capabilities::MESSAGE_REJECTION),
            acknowledges: has.contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT),
            extends: has.contains(Capabilities::LEASE_EXTENSION),
            dead_stream: dead_stream.filter(|_| !keeps && broker.config().enable_dlq),
        }
    }
}

impl Wiring {
    /// Whether one route takes messages of any kind.
    #[inline]
    pub(crate) fn has_one_route(&self) -> bool {
        matches!(self.routes.as_slice(), [only] if only.handles_rest)
    }

    /// Who handles `delivery`: the route of its kind, or else the one for the rest.
    #[inline]
    pub(crate) fn route(&self, delivery: &Delivery) -> Option<usize> {
        if self.has_one_route() {
            return Some(0);
        }
        let of_kind = delivery.message_kind().and_then(|kind| {
            self.routes
                .iter()
                .position(|route| route.kinds.iter().any(|known| **known == *kind))
        });
        of_kind.or_else(|| self.routes.iter().position(|route| route.handles_rest))
    }

    /// What tells the key of `delivery` from others.
    #[inline]
    pub(crate) fn mark(&self, delivery: &Delivery) -> Option<KeyMark> {
        delivery.message_key().map(|key| KeyMark::of(key, self.seed))
    }
}
