//! What a check works with.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::broker::Delivery;
use broker_core::{Broker, Capabilities, ErrorKind, Result};
use tokio::time::Instant;

use crate::context::Context;
use crate::{CheckResult, Harness, Ledger, Level, Limits, Options, Reader, Stop, Timing};

/// One run of one check: opens brokers, names streams, waits for conditions, and cleans up afterwards.
pub struct Trial {
    context: Arc<Context>,
    id: &'static str,
    seed: u64,
    brokers: Mutex<Vec<Broker>>,
    streams: Mutex<BTreeSet<String>>,
    verdicts: Mutex<Vec<String>>,
    consumers: AtomicU32,
}

impl Trial {
    pub(crate) fn new(context: Arc<Context>, id: &'static str, seed: u64) -> Self {
        Self {
            context,
            id,
            seed,
            brokers: Mutex::default(),
            streams: Mutex::default(),
            verdicts: Mutex::default(),
            consumers: AtomicU32::new(0),
        }
    }

    /// The adapter under test.
    #[must_use]
    pub fn harness(&self) -> &dyn Harness {
        &*self.context.harness
    }

    /// How thorough this run is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.context.level
    }

    /// A number for quick, and another for full and above.
    #[must_use]
    pub fn scale<T>(&self, quick: T, full: T) -> T {
        if self.level() >= Level::Full { full } else { quick }
    }

    /// The seed of this check's random choices, which the report tells.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How long things take here.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.harness().timing()
    }

    /// What the server bounds.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.harness().limits()
    }

    /// An upper bound on a duration, stretched for slow machines.
    #[must_use]
    pub fn at_most(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.timing().scale.max(1.0))
    }

    /// How long what must happen may take on this machine.
    #[must_use]
    pub fn in_time(&self) -> Duration {
        self.at_most(self.timing().eventual)
    }

    /// How long to watch for what must not happen.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        let quiet = self.timing().quiet;
        self.scale(quiet, quiet * 4)
    }

    /// Whether the broker claims all of `flags`.
    #[must_use]
    pub fn has(&self, flags: Capabilities) -> bool {
        self.context.capabilities.contains(flags)
    }

    /// How the names of this run and check begin.
    fn own(&self) -> String {
        format!("{}-{}-{}", self.context.prefix, self.context.run, self.id)
    }

    /// A stream's name of this run and check alone; the stream is deleted when the check ends.
    #[must_use]
    pub fn stream(&self, name: &str) -> String {
        let stream = format!("{}-{name}", self.own());
        lock(&self.streams).insert(stream.clone());
        stream
    }

    /// A group's name of this run and check alone.
    #[must_use]
    pub fn group(&self, name: &str) -> String {
        format!("{}-{name}", self.own())
    }

    /// Opens a fresh broker and connects it; it is closed when the check ends.
    ///
    /// # Errors
    ///
    /// What opening and connecting answer.
    pub async fn broker(&self) -> CheckResult<Broker> {
        self.broker_with(Options::new()).await
    }

    /// Opens a fresh broker with options of its own and connects it; it is closed when the check ends.
    ///
    /// # Errors
    ///
    /// What opening and connecting answer.
    pub async fn broker_with(&self, options: Options) -> CheckResult<Broker> {
        let broker = self.open(options)?;
        broker.ensure_connection().await?;
        Ok(broker)
    }

    /// Opens a fresh broker without connecting it; it is closed when the check ends.
    ///
    /// # Errors
    ///
    /// What opening answers.
    pub fn open(&self, options: Options) -> Result<Broker> {
        let ordinal = self.consumers.fetch_add(1, Ordering::Relaxed);
        let usual = Options::new()
            .consumer(&format!("{}-{ordinal}", self.own()))
            .lease(Duration::from_secs(60))
            .retry_delay(self.timing().retry_delay)
            .set("jitter", false);
        let broker = self.harness().open(&options.over(usual))?;
        lock(&self.brokers).push(broker.clone());
        Ok(broker)
    }

    /// A reader that sees all that is published from now on: a fresh group's member where there are groups, else an
    /// independent one.
    ///
    /// # Errors
    ///
    /// What subscribing answers.
    pub async fn reader(&self, broker: &Broker, stream: &str) -> CheckResult<Reader> {
        let subscription = if self.has(Capabilities::CONSUMER_GROUPS) {
            broker.subscribe(stream, self.group("reader")).start().await?
        } else {
            broker.listen(stream).start().await?
        };
        Ok(self.reader_of(subscription))
    }

    /// Makes a group before there are messages for it: a broker without history keeps none for groups to come.
    ///
    /// # Errors
    ///
    /// What reading answers.
    pub async fn group_before(&self, broker: &Broker, stream: &str, group: &str) -> CheckResult {
        drop(broker.read(stream, group, 0).await?);
        Ok(())
    }

    /// A reader of a subscription that the check made itself.
    #[must_use]
    pub fn reader_of(&self, subscription: broker_core::Subscription) -> Reader {
        let acks = self.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        Reader::new(subscription, self.in_time(), self.quiet(), acks)
    }

    /// Reads until `count` deliveries came, without settling them; more than were asked for never come.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] where they do not come in time, and what reading answers.
    #[track_caller]
    pub fn read<'a>(
        &'a self,
        broker: &'a Broker,
        stream: &'a str,
        group: &'a str,
        count: usize,
    ) -> impl Future<Output = CheckResult<Vec<Delivery>>> + 'a {
        let place = Location::caller();
        async move {
            let until = Instant::now() + self.in_time() * crate::reader::volume(count);
            let mut deliveries = Vec::new();
            while deliveries.len() < count {
                let batch = broker.read(stream, group, count - deliveries.len()).await?;
                if batch.is_empty() {
                    if Instant::now() > until {
                        let came = deliveries.len();
                        return Err(Stop::failed_at(
                            place,
                            format!("{came} of {count} deliveries came in time"),
                        ));
                    }
                    tokio::time::sleep(POLL).await;
                }
                deliveries.extend(batch);
            }
            Ok(deliveries)
        }
    }

    /// Watches that reading hands out nothing, for the quiet time.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] where something comes, and what reading answers.
    #[track_caller]
    pub fn nothing<'a>(
        &'a self,
        broker: &'a Broker,
        stream: &'a str,
        group: &'a str,
    ) -> impl Future<Output = CheckResult> + 'a {
        self.nothing_within(self.quiet(), broker, stream, group)
    }

    /// Watches that reading hands out nothing, for `duration`.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] where something comes, and what reading answers.
    #[track_caller]
    pub fn nothing_within<'a>(
        &'a self,
        duration: Duration,
        broker: &'a Broker,
        stream: &'a str,
        group: &'a str,
    ) -> impl Future<Output = CheckResult> + 'a {
        let place = Location::caller();
        async move {
            let until = Instant::now() + duration;
            loop {
                if let Some(delivery) = broker.read(stream, group, 1).await?.next() {
                    return Err(Stop::failed_at(place, unexpected(&delivery)));
                }
                if Instant::now() > until {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Waits until `condition` holds, asking again and again until the eventual deadline.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] that names `what`, and the condition's own errors.
    #[track_caller]
    pub fn eventually<'a, F, R>(
        &'a self,
        what: &'a str,
        mut condition: F,
    ) -> impl Future<Output = CheckResult> + 'a
    where
        F: FnMut() -> R + 'a,
        R: Future<Output = CheckResult<bool>> + 'a,
    {
        let place = Location::caller();
        async move {
            let until = Instant::now() + self.in_time();
            loop {
                if condition().await? {
                    return Ok(());
                }
                if Instant::now() > until {
                    return Err(Stop::failed_at(place, format!("did not happen in time: {what}")));
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// A fresh ledger; its verdict is put into the report by [`note`](Self::note).
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.context.run, self.id)
    }

    /// Puts a line, such as a ledger's verdict, into the report.
    pub fn note(&self, line: impl std::fmt::Display) {
        lock(&self.verdicts).push(line.to_string());
    }

    pub(crate) fn notes(&self) -> Option<String> {
        let verdicts = lock(&self.verdicts);
        (!verdicts.is_empty()).then(|| verdicts.join("; "))
    }

    /// Deletes what the check made, with a broker of its own, and closes the brokers that it opened.
    pub(crate) async fn clean_up(&self) -> CheckResult {
        let brokers = std::mem::take(&mut *lock(&self.brokers));
        for broker in brokers {
            broker.close().await?;
        }
        let streams = std::mem::take(&mut *lock(&self.streams));
        let janitor = self.open(Options::new())?;
        for stream in streams {
            match janitor.delete_stream(&stream).await {
                Err(error) if error.kind() == ErrorKind::Unsupported => break,
                answer => answer?,
            };
        }
        janitor.close().await?;
        Ok(())
    }
}

/// Between two looks at a condition: short beside what is waited for, and long beside a call.
pub(crate) const POLL: Duration = Duration::from_millis(10);

pub(crate) fn unexpected(delivery: &Delivery) -> String {
    format!(
        "a message came where none should: id {}, attempt {}, payload of {} bytes",
        delivery.id(),
        delivery.attempt(),
        delivery.payload().len()
    )
}

/// What a broker may leave out although it claims the flag that goes with it.
pub trait OrNotClaimed<T> {
    /// Ends the check as not claimed where the broker has no `what`.
    ///
    /// # Errors
    ///
    /// [`Stop::NotClaimed`] for [`ErrorKind::Unsupported`], [`Stop::Failed`] for other errors.
    fn or_not_claimed(self, what: &str) -> CheckResult<T>;
}

impl<T> OrNotClaimed<T> for Result<T> {
    #[track_caller]
    fn or_not_claimed(self, what: &str) -> CheckResult<T> {
        match self {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Err(Stop::NotClaimed(format!("this adapter has no {what}")))
            }
            answer => Ok(answer?),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
