//! Every library in turn, round by round, so that the machine's mood hits all alike.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use broker_bench::latency::{WARM_UP, percentiles};
use broker_bench::results::{Measured, Row, Unit, Work};
use broker_bench::rounds;
use futures_util::future::BoxFuture;

use crate::libraries::Library;

/// How long one library works in one round, about.
const ABOUT: Duration = Duration::from_millis(300);

/// Messages come in multiples of this: whole batches, and the same number from each task.
const MULTIPLE: usize = 1000;

/// Does the work with so many messages; answers how long it took, set-up left out.
pub type Run = Box<dyn Fn(usize) -> BoxFuture<'static, Result<Duration>>>;

/// Answers how long each message took.
pub type Latencies = Box<dyn Fn() -> Result<Vec<Duration>>>;

/// One library's part in a piece of work.
pub struct Entrant<R> {
    pub library: Library,
    /// Nothing where it can't do the work.
    pub run: Option<R>,
    pub remark: &'static str,
}

impl<R> Entrant<R> {
    /// A library that can't do the work, and why.
    pub fn cannot(library: Library, why: &'static str) -> Self {
        Self {
            library,
            run: None,
            remark: why,
        }
    }

    /// Tells where its work is not quite the same.
    pub fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}

impl Entrant<Run> {
    pub fn new<F>(library: Library, run: impl Fn(usize) -> F + 'static) -> Self
    where
        F: Future<Output = Result<Duration>> + Send + 'static,
    {
        Self {
            library,
            run: Some(Box::new(move |messages| Box::pin(run(messages)))),
            remark: "",
        }
    }

    /// The same of work on the server at `place`.
    pub fn at<F>(library: Library, place: &str, run: impl Fn(String, usize) -> F + 'static) -> Self
    where
        F: Future<Output = Result<Duration>> + Send + 'static,
    {
        let place = place.to_owned();
        Self::new(library, move |messages| run(place.clone(), messages))
    }
}

impl Entrant<Latencies> {
    pub fn latencies(
        library: Library,
        place: &str,
        run: impl Fn(&str) -> Result<Vec<Duration>> + 'static,
    ) -> Self {
        let place = place.to_owned();
        Self {
            library,
            run: Some(Box::new(move || run(&place))),
            remark: "",
        }
    }

    /// The same of work that needs a runtime.
    pub fn latencies_of<F>(library: Library, place: &str, run: impl Fn(String) -> F + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
    {
        Self::latencies(library, place, move |place| on_a_runtime(run(place.to_owned())))
    }
}

/// One piece of work and who takes part.
pub struct Task {
    pub name: &'static str,
    pub title: &'static str,
    /// The most messages of one round.
    pub most: usize,
    pub entrants: Vec<Entrant<Run>>,
}

impl Task {
    pub fn new(name: &'static str, title: &'static str, most: usize, entrants: Vec<Entrant<Run>>) -> Self {
        Self {
            name,
            title,
            most,
            entrants,
        }
    }
}

/// Runs on a worker thread, as it is in life, and drops what it left behind.
pub fn on_a_runtime<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let runtime = rounds::runtime()?;
    let done = runtime.block_on(runtime.spawn(work))?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    done
}

/// Measures all tasks over `count` rounds.
pub fn measure(tasks: &[Task], count: usize) -> Result<Vec<Work>> {
    let mut messages: Vec<Vec<usize>> = Vec::new();
    for task in tasks {
        let counts = task.entrants.iter().map(|entrant| enough(task, entrant));
        messages.push(counts.collect::<Result<_>>()?);
    }
    let mut rates: Vec<Vec<Vec<f64>>> = messages.iter().map(|task| vec![Vec::new(); task.len()]).collect();
    for round in 1..=count {
        for ((task, messages), rates) in tasks.iter().zip(&messages).zip(&mut rates) {
            for ((entrant, messages), rates) in task.entrants.iter().zip(messages).zip(rates) {
                if let Some(run) = &entrant.run {
                    let took = once(task, entrant, run, *messages)?;
                    rates.push(*messages as f64 / took.as_secs_f64());
                }
            }
        }
        eprintln!("round {round} of {count} is over");
    }
    let works = tasks.iter().zip(&rates).map(|(task, rates)| Work {
        name: task.name.to_owned(),
        title: task.title.to_owned(),
        unit: Unit::PerSecond,
        rows: rows(&task.entrants, rates),
    });
    Ok(works.collect())
}

/// How many messages take about as long as a round should; to find out warms up as well.
fn enough(task: &Task, entrant: &Entrant<Run>) -> Result<usize> {
    let mut messages = 2 * MULTIPLE;
    let Some(run) = &entrant.run else {
        return Ok(0);
    };
    for _ in 0..2 {
        let took = once(task, entrant, run, messages)?;
        let fitting = messages as f64 * ABOUT.as_secs_f64() / took.as_secs_f64().max(1e-6);
        messages = (fitting as usize / MULTIPLE * MULTIPLE).clamp(MULTIPLE, task.most);
    }
    Ok(messages)
}

fn once(task: &Task, entrant: &Entrant<Run>, run: &Run, messages: usize) -> Result<Duration> {
    on_a_runtime(run(messages)).with_context(|| format!("{} by {}", task.name, entrant.library.name()))
}

/// Measures latencies over `count` rounds: the medians, and what 99 of 100 messages keep below.
pub fn latencies(entrants: &[Entrant<Latencies>], count: usize) -> Result<Vec<Work>> {
    let mut medians = vec![Vec::new(); entrants.len()];
    let mut most = medians.clone();
    for _ in 0..count {
        for ((entrant, medians), most) in entrants.iter().zip(&mut medians).zip(&mut most) {
            let Some(run) = &entrant.run else { continue };
            let mut latencies = run().with_context(|| format!("latency by {}", entrant.library.name()))?;
            let (p50, p99) = percentiles(latencies.split_off(WARM_UP));
            medians.push(p50);
            most.push(p99);
        }
    }
    let of = |name: &str, title: &str, values: &[Vec<f64>]| Work {
        name: name.to_owned(),
        title: title.to_owned(),
        unit: Unit::Microseconds,
        rows: rows(entrants, values),
    };
    Ok(vec![
        of(
            "latency_p50",
            "latency at 1,000 messages a second, median",
            &medians,
        ),
        of(
            "latency_p99",
            "latency at 1,000 messages a second, 99 of 100 keep below",
            &most,
        ),
    ])
}

/// The rows of one piece of work from the values of each entrant's rounds.
pub fn rows<R>(entrants: &[Entrant<R>], values: &[Vec<f64>]) -> Vec<Row> {
    let raw = entrants
        .iter()
        .zip(values)
        .find(|(entrant, _)| entrant.library == Library::Raw);
    let rows = entrants.iter().zip(values).map(|(entrant, own)| Row {
        library: entrant.library.name().to_owned(),
        measured: entrant.run.as_ref().map(|_| {
            let beside = raw.filter(|_| entrant.library != Library::Raw);
            Measured::of(own, beside.map(|(_, values)| values.as_slice()))
        }),
        remark: entrant.remark.to_owned(),
    });
    rows.collect()
}
