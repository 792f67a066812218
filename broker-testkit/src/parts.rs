//! What a harness may have beyond opening brokers, for the laws about faults.

use std::time::Duration;

use broker_core::{Error, ErrorKind, Result, async_trait};

/// Starts, stops and kills the server that the harness' brokers talk to.
#[async_trait]
pub trait ServerControl: Send + Sync {
    /// Starts it, unless it runs, and returns once it answers.
    async fn start(&self) -> Result<()>;
    /// Stops it in good order.
    async fn stop(&self) -> Result<()>;
    /// Kills it without a warning.
    async fn kill(&self) -> Result<()>;
    /// Stops its time: connections stay and nothing is answered, until [`resume`](Self::resume).
    async fn pause(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Unexpected, "this server can't be paused"))
    }
    /// Lets its time go on.
    async fn resume(&self) -> Result<()> {
        Ok(())
    }
    /// Sets one of its own settings, such as how it syncs to disk.
    async fn configure(&self, key: &str, value: &str) -> Result<()>;
}

/// Disturbs the network between client and server.
#[async_trait]
pub trait NetProxy: Send + Sync {
    /// Cuts every open connection.
    async fn cut(&self) -> Result<()>;
    /// Refuses new connections until [`heal`](Self::heal).
    async fn refuse(&self) -> Result<()>;
    /// Swallows all bytes until [`heal`](Self::heal).
    async fn half_open(&self) -> Result<()>;
    /// Delays each direction by this until [`heal`](Self::heal).
    async fn delay(&self, by: Duration) -> Result<()>;
    /// Cuts the connection that next sends this many bytes back to the client.
    async fn cut_after(&self, bytes: usize) -> Result<()>;
    /// Back to normal.
    async fn heal(&self) -> Result<()>;
}

/// Moves the clock that leases and back-offs go by.
#[async_trait]
pub trait VirtualClock: Send + Sync {
    /// A runtime of one thread on which that clock stands still unless it is moved.
    fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime>;
    /// Moves it forward.
    async fn advance(&self, by: Duration);
}

/// Reaches the server's data past the adapter.
#[async_trait]
pub trait RawAccess: Send + Sync {
    /// Writes an entry of a foreign format to a stream.
    async fn write_foreign(&self, stream: &str) -> Result<()>;
    /// Deletes a group.
    async fn delete_group(&self, stream: &str, group: &str) -> Result<()>;
    /// Removes the stream's oldest messages, whoever needs them.
    async fn trim(&self, stream: &str, keep: u64) -> Result<()>;
}

/// Starts consumers in processes of their own.
#[async_trait]
pub trait ConsumerProcess: Send + Sync {
    /// Starts a consumer that reads `take` messages of a stream and settles none; returns once it has them.
    async fn start(&self, stream: &str, group: &str, take: usize) -> Result<u32>;
    /// Kills it without a warning.
    async fn kill(&self, process: u32) -> Result<()>;
}
