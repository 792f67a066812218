//! What users call. All cleverness is here, once: adapters translate, this room retries, times out, counts and bounds.

mod ack_buffer;
mod apart;
mod attempts;
mod background;
mod batch;
mod breaker;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod broker;
mod brokers;
mod by_name;
mod cell;
mod closing;
mod consumer;
mod counters;
mod dead_letter_queue;
mod delivery;
mod group_admin;
mod health;
mod lifecycle;
mod members;
mod nack_options;
mod open;
mod prefetch;
mod publish;
mod publish_queue;
mod publisher;
mod refuse;
mod sender;
mod settle;
mod shared;
#[cfg_attr(not(feature = "opentelemetry"), path = "no_spans.rs")]
mod spans;
mod still_used;
mod subscribe;
mod subscription;
mod together;
mod transaction;
mod turn;
mod unclaimed;
mod views;

pub use batch::{Batch, DeliveryRef};
pub use broker::Broker;
pub use brokers::{Brokers, BrokersBuilder};
pub use dead_letter_queue::DeadLetterQueue;
pub use delivery::Delivery;
pub use nack_options::NackOptions;
pub use publisher::{Publisher, PublisherBuilder};
pub use subscribe::{ListenBuilder, SubscribeBuilder};
pub use subscription::Subscription;
pub use transaction::{Transaction, Transactor};
