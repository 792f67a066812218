//! Runs the subscribers of the broker framework.
//!
//! An application declares who handles which messages, by the attribute [`subscriber`] or by a [`Subscriber`]; an
//! [`Engine`] joins the groups, calls the handlers, settles, tries again and dead-letters according to what the broker
//! can do, and stops without losing anything.
//!
//! Rooms, each importing only from those above it:
//!
//! 1. [`handler`] and [`extract`] — from a function to a tower service of [`Incoming`] messages;
//! 2. `retry` — one [`RetryPolicy`];
//! 3. `subscriber` — what an application declares;
//! 4. `run` — one subscriber: lanes, settling, leases;
//! 5. `engine` — all of them, from start to receipt;
//! 6. [`App`] — a service before it has brokers, for its program and its tests alike.

mod app;
mod context;
pub mod dedup;
mod engine;
pub mod extract;
pub mod handler;
mod incoming;
pub mod layers;
#[cfg(feature = "metrics")]
mod metering;
mod observe;
mod plan;
mod queues;
mod retry;
pub mod rpc;
mod run;
mod states;
mod subscriber;

pub use app::{App, app};
pub use context::Context;
pub use engine::{Engine, EngineBuilder, EngineHandle, Receipt, SubscriberReceipt};
#[cfg(feature = "cbor")]
pub use extract::Cbor;
#[cfg(feature = "message-pack")]
pub use extract::MessagePack;
pub use extract::{Attempt, Codec, Decoded, FromContext, FromMessage, Json, Key, Kind, Payload, State};
pub use handler::{
    BatchHandler, BatchHandlerService, BoxError, Handler, HandlerService, IncomingBatch, IntoOutcome,
    IntoOutcomes, Outcome, Outcomes, Outgoing, Permanent, RetryAfter, Undecodable,
};
pub use incoming::{Incoming, Parts};
#[cfg(feature = "metrics")]
pub use metering::Metering;
pub use observe::{Ended, Observer};
pub use plan::{Change, Comparison, Plan, PlanEntry};
pub use queues::{Queue, QueueError, Queues};
pub use retry::RetryPolicy;
pub use rpc::{Reply, ReplyQueue, RequestClient, RequestClientBuilder, RequestId, Response, Status};
pub use run::TallySnapshot;
pub use states::States;
pub use subscriber::{AckPolicy, Declared, OnUndecodable, OrderedBy, Subscriber, linked};
pub use subscriber::{NoRoute, Otherwise, Route};

/// Declares a subscriber: see the attribute's own page.
pub use broker_macros::subscriber;

#[doc(hidden)]
pub mod __private {
    pub use crate::subscriber::Linked;
    pub use broker_core::{Capabilities, StartPosition};
    pub use inventory;
}
