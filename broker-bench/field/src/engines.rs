//! The libraries' engines: what reads, calls a handler, and acknowledges.

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use broker::engine::{Engine, Subscriber};
use mq_bridge::models::{Endpoint, EndpointType};
use mq_bridge::{CanonicalMessage, Handled, Route};
use ruststream::memory::MemoryBroker;
use ruststream::prelude::*;
use tokio::sync::Notify;

/// Tells when the first and when the last message was handled.
#[derive(Clone)]
pub struct Latch(Arc<Inner>);

struct Inner {
    open: AtomicUsize,
    first: OnceLock<Instant>,
    last: Notify,
}

impl Latch {
    pub fn new(messages: usize) -> Self {
        Self(Arc::new(Inner {
            open: AtomicUsize::new(messages),
            first: OnceLock::new(),
            last: Notify::new(),
        }))
    }

    fn handled(&self, payload: &[u8]) {
        black_box(payload.len());
        self.0.first.get_or_init(Instant::now);
        // More may come than are waited for.
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.last.notify_one();
        }
    }

    pub async fn wait(&self) {
        self.0.last.notified().await;
    }

    /// How long it is since the first message was handled: starting and stopping are left out.
    pub fn since_first(&self) -> Result<Duration> {
        Ok(self.0.first.get().context("nothing was handled")?.elapsed())
    }
}

/// Ours, with the settings it has by itself.
pub async fn broker(
    brokers: broker::Brokers,
    stream: &str,
    group: &str,
    messages: usize,
) -> Result<Duration> {
    async fn look(
        broker::engine::Payload(payload): broker::engine::Payload,
        broker::engine::State(latch): broker::engine::State<Latch>,
    ) {
        latch.handled(&payload);
    }
    let latch = Latch::new(messages);
    let engine = Engine::builder(brokers)
        .state(latch.clone())
        .subscribe(Subscriber::new(stream, group).handle(look))
        .start()
        .await?;
    latch.wait().await;
    while engine.receipt().settled < messages as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = latch.since_first()?;
    let receipt = engine.stop().await?;
    ensure!(
        receipt.settled >= messages as u64,
        "messages were lost: {receipt}"
    );
    Ok(took)
}

/// mq-bridge: a route whose handler takes what comes and whose output is nowhere.
pub async fn mq_bridge(input: EndpointType, messages: usize) -> Result<Duration> {
    let latch = Latch::new(messages);
    let running = route(input, &latch).run("bench").await?;
    latch.wait().await;
    let took = latch.since_first()?;
    running.stop().await;
    running.join().await?;
    Ok(took)
}

pub fn route(input: EndpointType, latch: &Latch) -> Route {
    let latch = latch.clone();
    Route::new(Endpoint::new(input), Endpoint::new(EndpointType::Null)).with_handler(
        move |message: CanonicalMessage| {
            latch.handled(&message.payload);
            ready(Ok(Handled::Ack))
        },
    )
}

/// A delivery's bytes as they are.
pub struct Bytes<'a>(&'a [u8]);

impl Deserialized for Bytes<'_> {
    type Output<'a> = Bytes<'a>;
    type Error = Infallible;

    fn from_payload(payload: &[u8]) -> Result<Bytes<'_>, Self::Error> {
        Ok(Bytes(payload))
    }
}

impl Input for Bytes<'_> {
    type Axis = SoloDeserialized<Bytes<'static>>;
}

/// The handler of ruststream's engines.
pub struct Look(pub Latch);

impl<'p> Handle<Bytes<'p>> for Look {
    fn handle(
        &self,
        bytes: &Bytes<'p>,
        _outs: &(),
        _ctx: &mut Context<'_>,
    ) -> impl Future<Output = Result<(), HandlerOutcome>> {
        self.0.handled(bytes.0);
        ready(Ok(()))
    }
}

/// ruststream: an application whose one subscriber is a [`Look`] at `latch`.
pub async fn ruststream(app: RustStream, latch: &Latch) -> Result<Duration> {
    let running = app.start().await?;
    latch.wait().await;
    let took = latch.since_first()?;
    running.shutdown().await?;
    Ok(took)
}

/// ruststream in process.
pub async fn ruststream_in_memory(
    broker: MemoryBroker,
    name: &'static str,
    latch: &Latch,
) -> Result<RunningApp> {
    let handler = Look(latch.clone());
    let app = RustStream::new(AppInfo::new("bench", "0.1.0")).with_broker(broker, |b| {
        b.include(subscriber(name, handler).build());
    });
    Ok(app.start().await?)
}
