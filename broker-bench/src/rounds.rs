//! Throughput, in interleaved rounds: every case once, in turn, so that the machine's mood hits all alike.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// Worker threads: one core for each side.
const WORKERS: usize = 2;

/// One piece of work that is measured.
pub trait Case: Copy + PartialEq {
    /// The name on the command line and in JSON.
    fn name(self) -> &'static str;

    /// What it is, for people.
    fn title(self) -> &'static str;

    /// The raw case that it is compared with, and the ratio that is asked for.
    fn beside(self) -> Option<(Self, f64)>;
}

/// What one case did over all rounds.
#[derive(Debug, Serialize)]
pub struct Throughput {
    /// The case.
    pub work: &'static str,
    /// What it is, for people.
    #[serde(skip)]
    pub title: &'static str,
    /// Messages per second, the median of the rounds.
    pub median: f64,
    /// The slowest and the quickest round.
    pub spread: (f64, f64),
    /// What it is compared with.
    pub beside: Option<Ratio>,
}

/// One case beside another.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// The raw case.
    pub work: &'static str,
    /// The median of the ratios within each round.
    pub median: f64,
    /// What is asked for.
    pub asked: f64,
}

/// Measures all cases over `rounds` rounds. `run` does one case's work on a runtime of its own; it answers for how many
/// messages it did so and how long that took, set-up left out.
pub fn measure<C, F>(cases: &[C], rounds: usize, run: impl Fn(C) -> F) -> anyhow::Result<Vec<Throughput>>
where
    C: Case,
    F: Future<Output = anyhow::Result<(usize, Duration)>> + Send + 'static,
{
    let mut rates = vec![Vec::with_capacity(rounds); cases.len()];
    // One round more, not counted, warms caches and the allocator.
    for round in 0..=rounds {
        for (work, rates) in cases.iter().zip(&mut rates) {
            let runtime = runtime()?;
            let task = runtime.spawn(run(*work));
            let (messages, took) = runtime.block_on(task)?.with_context(|| work.name())?;
            if round > 0 {
                rates.push(messages as f64 / took.as_secs_f64());
            }
        }
    }
    let of = |work: C| {
        cases
            .iter()
            .position(|other| *other == work)
            .and_then(|at| rates.get(at))
            .cloned()
            .unwrap_or_default()
    };
    Ok(cases
        .iter()
        .copied()
        .map(|work| {
            let own = of(work);
            let beside = work.beside().map(|(raw, asked)| {
                let ratios = own.iter().zip(of(raw)).map(|(own, raw)| own / raw).collect();
                Ratio {
                    work: raw.name(),
                    median: median(ratios),
                    asked,
                }
            });
            let spread = own.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), rate| {
                (low.min(*rate), high.max(*rate))
            });
            Throughput {
                work: work.name(),
                title: work.title(),
                median: median(own),
                spread,
                beside,
            }
        })
        .collect())
}

/// The runtime that all cases run on.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?)
}

/// The middle value; of an even number, the upper one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
