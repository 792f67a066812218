//! The suite on one adapter.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use broker_core::Result;

use crate::context::Context;
use crate::execute::{belongs, execute};
use crate::report::{CheckReport, Report};
use crate::{CHECKS, Check, Harness, Level, Part};

/// The suite on one adapter: what to run, and what must come of it.
///
/// ```
/// use broker_core::Capabilities;
/// use broker_testkit::{Check, CheckResult, Gate, Level, Suite, Trial, UrlHarness, ensure};
///
/// async fn empty(t: &Trial) -> CheckResult {
///     let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
///     ensure!(broker.read(&stream, &group, 10).await?.is_empty(), "a fresh stream is not empty");
///     Ok(())
/// }
///
/// static OWN: [Check; 1] = [Check {
///     id: "mine.empty",
///     level: Level::Quick,
///     gate: Gate::needs(Capabilities::CONSUMER_GROUPS),
///     law: "Nothing there reads as nothing.",
///     run: |t| Box::pin(empty(t)),
/// }];
///
/// let suite = Suite::new(UrlHarness::new(&broker_inline::PROVIDER, "inline://suite")).with_checks(&OWN);
/// let report = suite.run(Level::Quick, &["mine.".to_owned()])?; // checks whose id contains that
/// assert_eq!((report.exercised(), report.is_good()), (1, true));
/// # Ok::<(), broker_core::Error>(())
/// ```
pub struct Suite {
    pub(crate) harness: Arc<dyn Harness>,
    pub(crate) expected: Vec<(Level, usize)>,
    pub(crate) absent: Vec<(Part, &'static str)>,
    pub(crate) extra: Vec<&'static Check>,
    pub(crate) threads: usize,
    pub(crate) seed: Option<u64>,
}

/// Checks spend their time waiting for leases and deadlines, so many run at once, whatever the number of cores.
const THREADS: usize = 16;

impl Suite {
    /// The whole catalogue on the adapter of `harness`.
    #[must_use]
    pub fn new(harness: impl Harness) -> Self {
        Self {
            harness: Arc::new(harness),
            expected: Vec::new(),
            absent: Vec::new(),
            extra: Vec::new(),
            threads: THREADS,
            seed: None,
        }
    }

    /// Pins the number of checks that a run of `level` passes, so that none goes missing unseen.
    #[must_use]
    pub fn expect_exercised(mut self, level: Level, checks: usize) -> Self {
        self.expected.retain(|(known, _)| *known != level);
        self.expected.push((level, checks));
        self
    }

    /// Says why the harness has no such part, so that checks which use it may stay unexercised.
    #[must_use]
    pub fn absent(mut self, part: Part, reason: &'static str) -> Self {
        self.absent.push((part, reason));
        self
    }

    /// Adds checks of the adapter's own.
    #[must_use]
    pub fn with_checks(mut self, checks: &'static [Check]) -> Self {
        self.extra.extend(checks);
        self
    }

    /// Sets how many checks run at once.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Sets the seed of random choices; the default is a new one for each run, which the report tells.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Runs the checks of `level` whose id contains one of `filters`, or all where there are none.
    ///
    /// It blocks, and must not be called from within an async runtime.
    ///
    /// # Errors
    ///
    /// Where the broker can't be opened or reached at all: then no check was run.
    pub fn run(&self, level: Level, filters: &[String]) -> Result<Report> {
        self.run_with(level, filters, &|_| {})
    }

    /// As [`run`](Self::run), telling `progress` of each check as it ends.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with(
        &self,
        level: Level,
        filters: &[String],
        progress: &(dyn Fn(&CheckReport) + Sync),
    ) -> Result<Report> {
        let start = Instant::now();
        let context = Arc::new(self.context(level, true)?);
        let chosen: Vec<_> = self
            .checks(&context)
            .into_iter()
            .filter(|check| filters.is_empty() || filters.iter().any(|filter| check.id.contains(filter)))
            .collect();
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.min(chosen.len()) {
                scope.spawn(|| {
                    while let Some(check) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let report = execute(&context, check);
                        progress(&report);
                        done.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                    }
                });
            }
        });
        let checks = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(self.report(&context, checks, filters.is_empty(), start))
    }

    pub(crate) fn context(&self, level: Level, connect: bool) -> Result<Context> {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        Context::look(Arc::clone(&self.harness), level, seed, connect)
    }

    /// The checks of this run, by id.
    pub(crate) fn checks(&self, context: &Context) -> Vec<&'static Check> {
        let all = CHECKS.iter().chain(self.extra.iter().copied());
        let mut checks: Vec<_> = all.filter(|check| belongs(context, check)).collect();
        checks.sort_by_key(|check| check.id);
        checks
    }

    pub(crate) fn report(
        &self,
        context: &Context,
        checks: Vec<CheckReport>,
        whole: bool,
        start: Instant,
    ) -> Report {
        let mut report = Report::new(context, checks, start.elapsed());
        if whole {
            report.judge(
                self.harness.allow_unproved(),
                &self.absent,
                self.expected
                    .iter()
                    .find(|(level, _)| *level == context.level)
                    .map(|(_, expected)| *expected),
            );
        }
        report
    }
}

/// The ids of the whole catalogue, at every level.
#[must_use]
pub fn catalogue() -> BTreeSet<&'static str> {
    CHECKS.iter().map(|check| check.id).collect()
}
