//! Throughput, in interleaved rounds: every case once, in turn, so that the machine's mood hits all alike.

use anyhow::Context;
use serde::Serialize;

use crate::payload::Payload;
use crate::work::Work;

/// Worker threads: one core for each side.
const WORKERS: usize = 2;

/// What one case did over all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Throughput {
    /// The case.
    pub(crate) work: Work,
    /// Messages per second, the median of the rounds.
    pub(crate) median: f64,
    /// The slowest and the quickest round.
    pub(crate) spread: (f64, f64),
    /// What it is compared with.
    pub(crate) beside: Option<Ratio>,
}

/// One case beside another.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    /// The bare channel's case.
    pub(crate) work: Work,
    /// The median of the ratios within each round.
    pub(crate) median: f64,
    /// What is asked for.
    pub(crate) asked: f64,
}

/// Measures all cases over `rounds` rounds of `messages` messages.
pub(crate) fn measure(rounds: usize, messages: usize) -> anyhow::Result<Vec<Throughput>> {
    let mut rates = vec![Vec::with_capacity(rounds); Work::ALL.len()];
    // One round more, not counted, warms caches and the allocator.
    for round in 0..=rounds {
        for (work, rates) in Work::ALL.into_iter().zip(&mut rates) {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(WORKERS)
                .enable_all()
                .build()?;
            let task = runtime.spawn(work.run(messages, Payload::Own));
            let took = runtime.block_on(task)?.with_context(|| work.name())?;
            if round > 0 {
                rates.push(messages as f64 / took.as_secs_f64());
            }
        }
    }
    let of = |work: Work| {
        Work::ALL
            .iter()
            .position(|other| *other == work)
            .and_then(|at| rates.get(at))
            .cloned()
            .unwrap_or_default()
    };
    Ok(Work::ALL
        .into_iter()
        .map(|work| {
            let own = of(work);
            let beside = work.beside().map(|(raw, asked)| {
                let ratios = own.iter().zip(of(raw)).map(|(own, raw)| own / raw).collect();
                Ratio {
                    work: raw,
                    median: median(ratios),
                    asked,
                }
            });
            let spread = own.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), rate| {
                (low.min(*rate), high.max(*rate))
            });
            Throughput {
                work,
                median: median(own),
                spread,
                beside,
            }
        })
        .collect())
}

/// The middle value; of an even number, the upper one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
