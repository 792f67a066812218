//! Measures the framework beside what it stands on, in one interleaved run.
//!
//! Rates move with the machine and its mood; ratios within a round, instructions and allocations per message carry
//! over. `cargo run --release -p broker-bench` prints all of them as tables, with `--json` also as JSON.
#![expect(clippy::print_stdout, reason = "a program that prints its findings")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use broker_bench::counts;
#[cfg(feature = "kafka")]
use broker_bench::kafka;
use broker_bench::page;
use broker_bench::payload::Payload;
#[cfg(feature = "rabbitmq")]
use broker_bench::rabbitmq;
#[cfg(feature = "redis")]
use broker_bench::redis;
use broker_bench::report::Report;
use broker_bench::rounds::{self, Case as _, Throughput};
use broker_bench::stored::Stored;
use broker_bench::work::Work;

/// Measures the framework beside what it stands on.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds of the throughput measurement; each runs every case once, in turn.
    #[arg(long, default_value_t = 7, global = true)]
    rounds: usize,
    /// Messages of one case in one round; where a server takes part, fewer.
    #[arg(long, default_value_t = 2_000_000, global = true)]
    messages: usize,
    /// Measure only the cases whose names contain this text.
    #[arg(long, default_value = "", global = true)]
    only: String,
    /// Print the report as JSON as well.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Messages per second, beside the bare channels.
    Throughput,
    /// Instructions and heap allocations per message.
    Counts {
        /// Hold them against those that are stored in this file: more than two per cent above is a failure.
        #[arg(long, value_name = "FILE")]
        stored: Option<PathBuf>,
        /// Store them there instead.
        #[arg(long, requires = "stored")]
        update: bool,
    },
    /// Redis Streams beside the raw client, on a private server.
    #[cfg(feature = "redis")]
    Redis {
        /// What is measured; all of it unless one is named.
        part: Option<redis::Part>,
    },
    /// One piece of work on a server that is there, for a profiler to watch.
    #[cfg(feature = "redis")]
    #[command(hide = true)]
    RedisWork {
        /// Its name.
        name: String,
        /// Where the server is, such as `redis://127.0.0.1:6379`; what it holds is removed.
        url: String,
    },
    /// Kafka beside the raw client, on a private broker.
    #[cfg(feature = "kafka")]
    Kafka {
        /// What is measured; all of it unless one is named.
        part: Option<kafka::Part>,
    },
    /// One reader on a broker that is there, for its memory to be watched.
    #[cfg(feature = "kafka")]
    #[command(hide = true)]
    KafkaWork {
        /// Its name.
        name: String,
        /// Where the broker is.
        servers: String,
        /// The topic.
        topic: String,
        /// How many messages.
        messages: usize,
    },
    /// RabbitMQ beside the raw client, on a private server.
    #[cfg(feature = "rabbitmq")]
    #[command(name = "rabbitmq")]
    RabbitMq {
        /// What is measured; all of it unless one is named.
        part: Option<rabbitmq::Part>,
    },
    /// The page of what was measured beside other libraries, and its plots.
    Page {
        /// The folder of the results; the plots are written there.
        results: PathBuf,
        /// The page.
        #[arg(long, value_name = "FILE")]
        into: PathBuf,
        /// Write nothing, and fail where page or plots are not what the results say.
        #[arg(long)]
        check: bool,
    },
    /// One piece of work, for the instruction counter to watch.
    #[command(hide = true)]
    Work {
        /// Its name.
        name: String,
        /// How many messages.
        messages: usize,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln_one_line(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    let work: Vec<_> = Work::ALL
        .into_iter()
        .filter(|work| work.name().contains(&args.only))
        .collect();
    match &args.command {
        Some(Command::Work { name, messages }) => {
            let work = Work::ALL.into_iter().find(|work| work.name() == name);
            let work = work.ok_or_else(|| anyhow::anyhow!("unknown work `{name}`"))?;
            counts::single_threaded(work, *messages)?;
            return Ok(());
        }
        Some(Command::Page { results, into, check }) => return page::write(results, into, *check),
        Some(Command::Throughput) => report.throughput = throughput(&raced(&work), args)?,
        Some(Command::Counts { stored, update }) => {
            report.counts = counts::measure(&work)?;
            if let Some(file) = stored {
                println!("{report}");
                return hold(&report, file, *update);
            }
        }
        #[cfg(feature = "redis")]
        Some(Command::Redis { part }) => {
            redis::measure(&mut report, *part, &args.only, args.rounds, args.messages / 10)?;
        }
        #[cfg(feature = "redis")]
        Some(Command::RedisWork { name, url }) => {
            println!("{}", redis::alone(name, url, args.messages / 10)?);
            return Ok(());
        }
        #[cfg(feature = "kafka")]
        Some(Command::Kafka { part }) => {
            kafka::measure(&mut report, *part, &args.only, args.rounds, args.messages / 2)?;
        }
        #[cfg(feature = "kafka")]
        Some(Command::KafkaWork {
            name,
            servers,
            topic,
            messages,
        }) => {
            println!("{}", kafka::alone(name, servers, topic, *messages)?);
            return Ok(());
        }
        #[cfg(feature = "rabbitmq")]
        Some(Command::RabbitMq { part }) => {
            rabbitmq::measure(&mut report, *part, &args.only, args.rounds, args.messages / 40)?;
        }
        None => {
            report.throughput = throughput(&raced(&work), args)?;
            report.counts = counts::measure(&work)?;
        }
    }
    println!("{report}");
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

/// Holds the report's counts against the stored ones, or stores them.
fn hold(report: &Report, file: &Path, update: bool) -> anyhow::Result<()> {
    let now = Stored::of(&report.counts)?;
    if update {
        return now.write(file);
    }
    let findings = Stored::read(file)?.judge(&now);
    if let Some(line) = &findings.not_compared {
        println!("NOT COMPARED: {line}");
    }
    for line in &findings.fell {
        println!("fell: {line}; --update stores it");
    }
    for line in &findings.rose {
        println!("ROSE: {line}");
    }
    anyhow::ensure!(
        findings.rose.is_empty(),
        "{} counts rose above what {} has; find out why, or store them by --update and say why in the commit",
        findings.rose.len(),
        file.display()
    );
    Ok(())
}

fn throughput(cases: &[Work], args: &Args) -> anyhow::Result<Vec<Throughput>> {
    let messages = args.messages;
    rounds::measure(cases, args.rounds, |work| async move {
        let messages = work.share(messages);
        Ok((messages, work.run(messages, Payload::Own).await?))
    })
}

/// What is raced: the rate of the engine's own work is that of what it stands on.
fn raced(work: &[Work]) -> Vec<Work> {
    work.iter().copied().filter(|work| !work.is_of_engine()).collect()
}

#[expect(clippy::print_stderr, reason = "a program's errors go there")]
fn eprintln_one_line(error: &anyhow::Error) {
    eprintln!("broker-bench: {error:#}");
}
