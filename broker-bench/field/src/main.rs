//! Measures the framework beside the raw clients and the published libraries of its field.
//!
//! Every library does the same work in turn, round by round; ratios are taken within a round. `scripts/bench` calls this
//! and writes the page.

mod builds;
mod clients;
mod contest;
mod engines;
mod inline;
mod kafka;
mod libraries;
mod machine;
mod memory;
mod rabbitmq;
mod redis;
mod server;
mod work;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use broker_bench::results::{Contest, Results};
use clap::{Parser, Subcommand};

use crate::server::Server;

/// Measures the framework beside the raw clients and the published libraries of its field.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures on one private server and puts what was found into a file.
    Run {
        /// Which server.
        server: Server,
        /// The file; what it has of other servers stays.
        #[arg(long, value_name = "FILE")]
        into: PathBuf,
        /// Rounds of each piece of work.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Measure only this piece of work, `latency` or `memory`; may be given several times.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Counts the crates that each library takes, and times some of the builds.
    Builds {
        /// The file of the results.
        #[arg(long, value_name = "FILE")]
        into: PathBuf,
    },
    /// One piece of work by one library, for its memory to be watched.
    #[command(hide = true)]
    Work {
        server: Server,
        place: String,
        task: String,
        library: String,
        messages: usize,
    },
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Run {
            server,
            into,
            rounds,
            only,
        } => {
            let contest = server.measure(rounds, &only)?;
            for work in &contest.works {
                println!("{}: {}", contest.server, work.title);
                for row in &work.rows {
                    match row.measured {
                        Some(of) => println!(
                            "  {:<14} {:>12} {:>12} - {:<12} {}",
                            row.library,
                            of.median,
                            of.quartiles.0,
                            of.quartiles.1,
                            of.ratio.map(|ratio| ratio.to_string()).unwrap_or_default()
                        ),
                        None => println!("  {:<14} {}", row.library, row.remark),
                    }
                }
            }
            put(contest, &into)?;
        }
        Command::Builds { into } => {
            let builds = builds::measure()?;
            change(&into, |results| results.builds = builds)?;
        }
        Command::Work {
            server,
            place,
            task,
            library,
            messages,
        } => println!("{}", memory::alone(server, &place, &task, &library, messages)?),
    }
    Ok(())
}

/// The order of the page.
const WORKS: [&str; 8] = [
    "publish_one",
    "publish_tasks",
    "publish_batch",
    "read",
    "engine",
    "latency_p50",
    "latency_p99",
    "memory",
];

/// Puts what was found in place of what was found of the same work before.
fn put(mut contest: Contest, file: &Path) -> Result<()> {
    change(file, |results| {
        if let Some(at) = results
            .contests
            .iter()
            .position(|other| other.server == contest.server)
        {
            let before = results.contests.remove(at).works.into_iter();
            let kept = before.filter(|work| contest.works.iter().all(|new| new.name != work.name));
            let kept: Vec<_> = kept.collect();
            contest.works.extend(kept);
        }
        contest
            .works
            .sort_by_key(|work| WORKS.iter().position(|name| *name == work.name));
        results.contests.push(contest);
        let place = |server: &str| Server::ALL.iter().position(|other| other.name() == server);
        results.contests.sort_by_key(|contest| place(&contest.server));
    })
}

/// Changes the results in a file, and what they say of machine and versions.
fn change(file: &Path, change: impl FnOnce(&mut Results)) -> Result<()> {
    let mut results: Results = match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| file.display().to_string())?,
        Err(_) => Results::default(),
    };
    results.machine = machine::machine()?;
    results.versions = machine::versions();
    change(&mut results);
    std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")
        .with_context(|| format!("{} can't be written", file.display()))
}
