//! Random sequences of operations, done by an adapter and judged by a reference of plain data.
//!
//! ```no_run
//! # fn check(harness: &dyn broker_testkit::Harness) {
//! if let Err(difference) = broker_testkit::model::run(harness, 100, 42) {
//!     panic!("{difference}");
//! }
//! # }
//! ```
//!
//! The check `model.random_operations` does the same. A sequence that shows a difference is shrunk to a short one.

mod compare;
mod item;
mod operation;
mod play;
mod reference;

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::{Builder, Runtime};

pub use self::operation::{How, Operation, To, Wait};
use self::play::Play;
use self::reference::Judgement;
use crate::{Harness, Options};

/// After so long no further sequence is begun: what was found until then is the answer.
const BUDGET: Duration = Duration::from_secs(20);

/// For so long a sequence that shows a difference is made shorter.
const SHRINK: u32 = 20_000;

/// A sequence of operations after which the broker did what it may not do.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The seed of the run.
    pub seed: u64,
    /// The shortest sequence found.
    pub operations: Vec<Operation>,
    /// What the broker did, and what it may not or has to do.
    pub reason: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (seed {})", self.reason, self.seed)?;
        for (index, operation) in self.operations.iter().enumerate() {
            writeln!(f, "{:3}. {operation:?}", index + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Difference {}

/// Plays up to `cases` sequences on brokers of `harness`, and answers how many.
///
/// On a harness with a clock, time passes without waiting for it; else a sequence waits for leases to end, and there is
/// time for few. It blocks, and must not be called from within an async runtime.
///
/// # Errors
///
/// A [`Difference`], shrunk.
pub fn run(harness: &dyn Harness, cases: u32, seed: u64) -> Result<u32, Difference> {
    let difference = |reason: String, operations| Difference {
        seed,
        operations,
        reason,
    };
    let runtime = runtime(harness).map_err(|reason| difference(reason, Vec::new()))?;
    let flags = harness.open(&Options::new()).map(|broker| broker.capabilities());
    let flags = flags.map_err(|error| difference(error.to_string(), Vec::new()))?;
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: SHRINK,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes(seed));
    let (begun, failed, played) = (Instant::now(), Cell::new(false), Cell::new(0_u32));
    let run = fastrand::u64(..);
    let played_once = |operations: Vec<Operation>| {
        if begun.elapsed() > BUDGET && !failed.get() {
            return Ok(());
        }
        played.set(played.get() + 1);
        let name = format!("{}-model-{run:016x}-{}", harness.prefix(), played.get());
        runtime
            .block_on(play(harness, &name, &operations))
            .map_err(|reason| {
                failed.set(true);
                TestCaseError::fail(reason)
            })
    };
    match TestRunner::new_with_rng(config, random).run(&operation::sequences(flags), played_once) {
        Ok(()) => Ok(played.get()),
        Err(TestError::Fail(reason, operations)) => Err(difference(reason.to_string(), operations)),
        Err(TestError::Abort(reason)) => Err(difference(reason.to_string(), Vec::new())),
    }
}

async fn play(harness: &dyn Harness, name: &str, operations: &[Operation]) -> Judgement {
    let mut play = Play::open(harness, name).await?;
    let mut answer = Ok(());
    for (index, operation) in operations.iter().enumerate() {
        answer = play.perform(operation).await;
        if let Err(reason) = answer {
            answer = Err(format!("operation {}: {reason}", index + 1));
            break;
        }
    }
    if answer.is_ok() {
        answer = play
            .drain()
            .await
            .map_err(|reason| format!("at the end: {reason}"));
    }
    answer.and(play.close().await)
}

/// A runtime of one thread, so that one seed is one course of events; with the harness' clock where it has one.
fn runtime(harness: &dyn Harness) -> Judgement<Runtime> {
    let runtime = match harness.clock() {
        Some(clock) => clock.runtime(),
        None => Builder::new_current_thread().enable_all().build(),
    };
    runtime.map_err(|error| format!("no runtime: {error}"))
}

fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut random = fastrand::Rng::with_seed(seed);
    std::array::from_fn(|_| random.u8(..))
}
