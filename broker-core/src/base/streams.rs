//! Optional family: streams as an operator sees them.

use crate::async_trait;
use crate::values::{Result, StreamInfo, StreamName};

/// Optional family: showing and removing streams.
#[async_trait]
pub trait Streams: Send + Sync {
    /// The streams this broker knows, by name.
    async fn list(&self) -> Result<Vec<StreamName>>;

    /// What a stream looks like; `None` where there is none.
    async fn info(&self, stream: &StreamName) -> Result<Option<StreamInfo>>;

    /// Removes a stream with its groups and dead letters; answers `false` where there was none.
    async fn delete(&self, stream: &StreamName) -> Result<bool>;
}
