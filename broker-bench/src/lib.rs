//! Pieces of work on the framework and on the raw clients it stands on, and how they are measured.
//!
//! The program `broker-bench` prints them as tables; `field/` beside it, which is no member of the workspace, measures
//! the same work by other libraries.

pub mod counts;
pub mod idle;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg_attr(
    not(any(feature = "kafka", feature = "rabbitmq", feature = "redis")),
    allow(dead_code)
)]
pub mod latency;
#[cfg_attr(not(feature = "kafka"), allow(dead_code))]
pub mod memory;
pub mod page;
pub mod payload;
pub mod plot;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
pub mod report;
pub mod results;
pub mod rounds;
pub mod stored;
pub mod work;
