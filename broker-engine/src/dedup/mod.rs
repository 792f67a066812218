//! Which message ids were handled already.

#[cfg(feature = "redis-dedup")]
mod address;
mod memory;
#[cfg(feature = "redis-dedup")]
mod redis;

#[cfg(feature = "redis-dedup")]
pub use self::redis::RedisDedup;
pub use memory::MemoryDedup;

use std::fmt::Debug;

use broker_core::{Result, async_trait};

/// What a store says about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is new, and claimed for the caller now.
    Mine,
    /// It is being handled by another.
    Busy,
    /// It was handled.
    Done,
}

/// Remembers which message ids were handled, for some time.
#[async_trait]
pub trait DedupStore: Debug + Send + Sync + 'static {
    /// Claims an id that nobody handles or has handled. A claim that is neither done nor released ends by itself.
    async fn claim(&self, id: &str) -> Result<Claim>;
    /// Marks a claimed id as handled.
    async fn done(&self, id: &str) -> Result<()>;
    /// Lets a claimed id go: it was not handled.
    async fn release(&self, id: &str) -> Result<()>;
}
