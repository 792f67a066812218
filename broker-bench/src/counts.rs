//! Instructions and heap allocations per message, which do not depend on the machine's mood.
//!
//! Both are slopes between a short and a long run, so that set-up does not count. Instructions are counted by
//! valgrind's callgrind on this very program; allocations by a counting allocator in a single-threaded runtime. The
//! payload is lent, so that its own allocation does not count either.

use std::cell::Cell;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::payload::Payload;
use crate::rounds::Case as _;
use crate::work::Work;

/// The lengths of the two runs under the instruction counter, in messages.
const UNDER_VALGRIND: (usize, usize) = (40_000, 120_000);

/// The lengths of the two runs under the counting allocator, in messages.
const UNDER_ALLOCATOR: (usize, usize) = (200_000, 600_000);

/// What one message costs, publishing and handling together.
#[derive(Debug, Serialize)]
pub struct Counts {
    /// The case.
    pub work: Work,
    /// Instructions per message.
    pub instructions: f64,
    /// Heap allocations per message.
    pub allocations: f64,
    /// The most of both that is asked for.
    pub budget: Option<(f64, f64)>,
}

/// Counts all cases that have one publisher and one consumer.
pub fn measure(cases: &[Work]) -> anyhow::Result<Vec<Counts>> {
    let cases = cases.iter().copied().filter(|work| work.is_counted());
    cases
        .map(|work| {
            let (mut instructions, mut allocations) = slopes(work)?;
            if let Some(apart) = work.without() {
                let (less, fewer) = slopes(apart)?;
                instructions -= less;
                allocations -= fewer;
            }
            Ok(Counts {
                work,
                instructions,
                allocations,
                budget: work.budget(),
            })
        })
        .collect()
}

/// Instructions and allocations of one message more.
fn slopes(work: Work) -> anyhow::Result<(f64, f64)> {
    let (short, long) = UNDER_VALGRIND;
    let instructions = slope(
        instructions(work, short)?,
        instructions(work, long)?,
        long - short,
    );
    let (short, long) = UNDER_ALLOCATOR;
    let allocations = slope(allocations(work, short)?, allocations(work, long)?, long - short);
    Ok((instructions, allocations))
}

/// Does `work` in this thread alone.
pub fn single_threaded(work: Work, messages: usize) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work.run(messages, Payload::Lent))
}

fn slope(short: u64, long: u64, messages: usize) -> f64 {
    long.saturating_sub(short) as f64 / messages as f64
}

fn instructions(work: Work, messages: usize) -> anyhow::Result<u64> {
    let program = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["work", work.name(), &messages.to_string()])
        .output()
        .context("valgrind can't be started; install the package `valgrind`")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "valgrind failed on {}: {text}",
        work.name()
    );
    let line = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .context("valgrind counted nothing")?;
    Ok(line.1.trim().parse()?)
}

fn allocations(work: Work, messages: usize) -> anyhow::Result<u64> {
    let outcome = Cell::new(Ok(Duration::ZERO));
    let info = allocation_counter::measure(|| outcome.set(single_threaded(work, messages)));
    outcome.into_inner()?;
    Ok(info.count_total)
}
