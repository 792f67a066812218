//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::Targets;

#[cfg(feature = "conformance")]
use crate::commands::{
    capabilities::Capabilities,
    conformance::Conformance,
    torture::{Torture, TortureMember},
};
use crate::commands::{
    completions::Completions, config::ConfigCommand, dlq::Dlq, groups::Groups, health::Health,
    new_adapter::NewAdapter, ping::Ping, plan::Plan, providers::Providers, publish::Publish, read::Read,
    server::Server, tail::Tail, trace::Trace,
};

/// Publish, read and look after streams, groups and dead letters on any configured broker.
#[derive(Parser)]
#[command(
    name = "broker",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 no connection."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Which broker, and how to answer")]
pub(crate) struct Global {
    /// The configuration file; else broker.toml or .broker.toml of this folder, and BROKER__NAME__KEY variables.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which configured broker.
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub(crate) broker: String,
    /// A broker's URL, in place of a configuration, such as redis://localhost:6379.
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["config", "broker"])]
    pub(crate) url: Option<String>,
    /// Text for people, or JSON for programs: one object per line.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// What is logged on standard error: off, error, warn, info, debug or trace, also by target, such as
    /// warn,broker_kafka=debug. The default is warn for `server`, and off for the rest.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "BROKER_LOG",
        hide_env_values = true
    )]
    pub(crate) log: Option<Targets>,
}

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Providers(Providers),
    #[command(subcommand)]
    Config(ConfigCommand),
    Ping(Ping),
    Health(Health),
    Publish(Publish),
    Read(Read),
    Tail(Tail),
    Trace(Trace),
    Groups(Groups),
    #[command(subcommand)]
    Dlq(Dlq),
    Server(Server),
    Plan(Plan),
    #[cfg(feature = "conformance")]
    Conformance(Conformance),
    #[cfg(feature = "conformance")]
    Capabilities(Capabilities),
    #[cfg(feature = "conformance")]
    Torture(Torture),
    #[cfg(feature = "conformance")]
    #[command(hide = true)]
    TortureMember(TortureMember),
    NewAdapter(NewAdapter),
    Completions(Completions),
}

impl Command {
    /// Whether handlers run, on as many threads as there are cores.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

/// A duration with its unit, as in the configuration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write a number and a unit, such as `250ms`, `30s` or `5m`".to_owned())
}
