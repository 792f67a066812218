//! The most memory that each library takes for reading, in a process of its own: an allocator gives back late, or never.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use broker_bench::memory::peak;
use broker_bench::results::{Unit, Work};

use crate::contest::{on_a_runtime, rows};
use crate::server::Server;

/// The piece of work that is watched.
const TASK: &str = "read";

/// How many messages lie there.
const MESSAGES: usize = 50_000;

/// How often; memory moves little.
const RUNS: usize = 2;

/// Watches every library that reads from the server at `place`.
pub fn measure(server: Server, place: &str) -> Result<Option<Work>> {
    let tasks = server.tasks(place);
    let Some(task) = tasks.into_iter().find(|task| task.name == TASK) else {
        return Ok(None);
    };
    let mut peaks = Vec::with_capacity(task.entrants.len());
    for entrant in &task.entrants {
        let runs = if entrant.run.is_some() { RUNS } else { 0 };
        let mut of_one = Vec::with_capacity(runs);
        for _ in 0..runs {
            let output = Command::new(std::env::current_exe()?)
                .args(["work", server.name(), place, TASK, entrant.library.name()])
                .arg(MESSAGES.to_string())
                .output()?;
            ensure!(
                output.status.success(),
                "{} failed: {}",
                entrant.library.name(),
                String::from_utf8_lossy(&output.stderr)
            );
            of_one.push(String::from_utf8_lossy(&output.stdout).trim().parse()?);
        }
        peaks.push(of_one);
    }
    Ok(Some(Work {
        name: "memory".to_owned(),
        title: format!("memory at most, {MESSAGES} messages published and read"),
        unit: Unit::Mebibytes,
        rows: rows(&task.entrants, &peaks),
    }))
}

/// Does one library's work; answers how much memory it took at most, beyond what the process held before.
pub fn alone(server: Server, place: &str, task: &str, library: &str, messages: usize) -> Result<f64> {
    let tasks = server.tasks(place);
    let task = tasks
        .into_iter()
        .find(|other| other.name == task)
        .context("unknown work")?;
    let entrant = task
        .entrants
        .into_iter()
        .find(|entrant| entrant.library.name() == library);
    let run = entrant
        .and_then(|entrant| entrant.run)
        .context("that library does not do it")?;
    let before = peak()?;
    on_a_runtime(run(messages))?;
    Ok(peak()? - before)
}
