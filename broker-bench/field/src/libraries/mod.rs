//! The libraries, and what a user of each does with it.

pub mod mq_bridge;
pub mod omniqueue;
pub mod ruststream;
pub mod sea_streamer;

use std::future::Future;

use anyhow::Result;
use futures_util::future::{BoxFuture, try_join_all};

/// A library that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// The client underneath, used by hand.
    Raw,
    Broker,
    SeaStreamer,
    Omniqueue,
    MqBridge,
    Ruststream,
}

impl Library {
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Broker => "broker",
            Self::SeaStreamer => "sea-streamer",
            Self::Omniqueue => "omniqueue",
            Self::MqBridge => "mq-bridge",
            Self::Ruststream => "ruststream",
        }
    }
}

/// A library's way to publish.
pub trait Publish: Clone + Send + Sync + 'static {
    /// Publishes one message; returns when it is stored.
    fn send(&self, payload: Vec<u8>) -> impl Future<Output = Result<()>> + Send;

    /// Publishes several messages; returns when all are stored. Where a library has no call for that, they are published
    /// one by one without waiting for each other.
    fn send_batch(&self, payloads: Vec<Vec<u8>>) -> impl Future<Output = Result<()>> + Send {
        async move {
            try_join_all(payloads.into_iter().map(|payload| self.send(payload))).await?;
            Ok(())
        }
    }
}

/// The acknowledgement of what was read, on its way.
pub type Ack = BoxFuture<'static, Result<()>>;

/// A library's way to read and acknowledge.
pub trait Read: Send + 'static {
    /// Waits for messages, at most `most`, and hands the payload of each to `handle`. Answers how many they were, and
    /// what acknowledges them when it is awaited.
    fn read(
        &mut self,
        most: usize,
        handle: impl FnMut(&[u8]) + Send,
    ) -> impl Future<Output = Result<(usize, Ack)>> + Send;

    /// Waits until what was acknowledged has reached the server.
    fn settled(self) -> impl Future<Output = Result<()>> + Send;
}

/// An acknowledgement that is handed over when it is given, and takes no wait.
pub fn handed_over() -> Ack {
    Box::pin(async { Ok(()) })
}

/// A library on a server.
pub trait Client: 'static {
    /// Which it is.
    const LIBRARY: Library;

    type Publisher: Publish;
    type Reader: Read;

    /// Connects a publisher to the server at `place`.
    fn publisher(place: &str) -> impl Future<Output = Result<Self::Publisher>> + Send;

    /// Joins the group on the server at `place`, at the stream's beginning.
    fn reader(place: &str) -> impl Future<Output = Result<Self::Reader>> + Send;
}
