//! Running one check: its own runtime, a deadline, and cleaning up whatever happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::{Error, ErrorKind, Result};

use crate::context::Context;
use crate::report::CheckReport;
use crate::{Check, CheckResult, Level, Outcome, Part, Stop, Trial};

/// Runs a check whose level is in this run, and tells what came of it.
pub(crate) fn execute(context: &Arc<Context>, check: &'static Check) -> CheckReport {
    let seed = context.seed ^ u64::from(crc32fast::hash(check.id.as_bytes()));
    let start = Instant::now();
    let trial = Trial::new(Arc::clone(context), check.id, seed);
    let answer = match admit(context, check) {
        Ok(()) => {
            // One that stops the server or disturbs the network has both to itself.
            let (_alone, _together) = if disturbs(check) {
                (context.quiet.write().ok(), None)
            } else {
                (None, context.quiet.read().ok())
            };
            catch_unwind(AssertUnwindSafe(|| run(&trial, check)))
                .unwrap_or_else(|panic| Err(Stop::Failed(format!("panicked: {}", text_of(&*panic)))))
        }
        refused => refused,
    };
    let (outcome, reason) = match answer {
        Ok(()) => (Outcome::Passed, None),
        Err(Stop::Failed(reason)) => (Outcome::Failed, Some(reason)),
        Err(Stop::NotExercised(reason)) => (Outcome::NotExercised, Some(reason)),
        Err(Stop::NotClaimed(reason)) => (Outcome::NotClaimed, Some(reason)),
    };
    CheckReport {
        id: check.id,
        law: check.law,
        level: check.level,
        outcome,
        gate: check.gate.needs,
        proves: check.gate.proves,
        refuses: check.gate.refuses,
        ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        seed,
        ledger: trial.notes(),
        reason,
    }
}

/// Whether the check is one of this run: its level is, and it is not about the absence of a flag that is there.
pub(crate) fn belongs(context: &Context, check: &Check) -> bool {
    check.level <= context.level && !context.capabilities.intersects(check.gate.without)
}

/// Whether the check does something to the server or the network that every other check would feel.
fn disturbs(check: &Check) -> bool {
    matches!(check.gate.part, Some(Part::Server | Part::Proxy))
}

/// Undoes what a check did to the server and the network, however it ended.
async fn restore(trial: &Trial) -> Result<()> {
    if let Some(proxy) = trial.harness().proxy() {
        proxy.heal().await?;
    }
    match trial.harness().server() {
        Some(server) => server.start().await,
        None => Ok(()),
    }
}

/// A runtime with two workers, so that what races in production races here.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Unexpected, "no runtime for a check").source(error))
}

/// Refuses a check whose gate is not met.
fn admit(context: &Context, check: &Check) -> CheckResult {
    let (gate, harness) = (&check.gate, &*context.harness);
    let missing = gate.needs - context.capabilities;
    if !missing.is_empty() {
        return Err(Stop::NotClaimed(format!("needs {missing}")));
    }
    if gate.durable && !harness.durable() {
        return Err(Stop::NotClaimed(
            "needs messages that survive a restart".to_owned(),
        ));
    }
    let there = match gate.part {
        None => true,
        Some(Part::Server) => harness.server().is_some(),
        Some(Part::Proxy) => harness.proxy().is_some(),
        Some(Part::Clock) => harness.clock().is_some(),
        Some(Part::Raw) => harness.raw().is_some(),
        Some(Part::ConsumerProcess) => harness.consumer_process().is_some(),
        Some(Part::Unreachable) => harness.unreachable().is_some(),
    };
    match gate.part {
        Some(part) if !there => Err(Stop::NotExercised(format!("the harness has no {part}"))),
        _ => Ok(()),
    }
}

fn run(trial: &Trial, check: &'static Check) -> CheckResult {
    // A quick check does ten times as much in a longer run.
    let deadline = match check.level.max(trial.level().min(Level::Full)) {
        Level::Quick => Duration::from_secs(30),
        Level::Full => Duration::from_secs(90),
        Level::Chaos => Duration::from_secs(180),
    };
    let deadline = trial.at_most(deadline).max(trial.timing().eventual * 2);
    let runtime = runtime()?;
    let answer = runtime.block_on(async {
        let answer = match tokio::time::timeout(deadline, (check.run)(trial)).await {
            Ok(answer) => answer,
            Err(_) => Err(Stop::Failed(format!("did not end within {deadline:?}"))),
        };
        if disturbs(check) {
            restore(trial).await?;
        }
        let cleaned = match tokio::time::timeout(Duration::from_secs(15), trial.clean_up()).await {
            Ok(answer) => answer,
            Err(_) => Err(Stop::Failed("did not end within 15s".to_owned())),
        };
        match (answer, cleaned) {
            (Ok(()), Err(Stop::Failed(reason))) => Err(Stop::Failed(format!("cleaning up: {reason}"))),
            (answer, _) => answer,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    answer
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
