//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use broker::Brokers;
use broker::config::Config;
use clap::Parser;

/// What the program is to do.
pub(crate) enum What {
    /// One of the framework's commands.
    Command,
    Ask(Args),
    /// The command line is wrong, or help was asked for.
    Wrong(ExitCode),
}

/// Ask for prices, and answer them in the same process; `ask` only asks, of a service that runs elsewhere.
#[derive(Parser)]
#[command(
    name = "rpc",
    after_help = "Other commands, such as `rpc server` and `rpc plan`: rpc help."
)]
pub(crate) struct Args {
    /// `ask`, to ask a service that runs elsewhere.
    #[arg(value_parser = ["ask"])]
    what: Option<String>,
    /// The configuration file; without it, the in-process broker.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How many requests.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests: u32,
    /// How many ask at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) askers: u32,
    /// Tell the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn read() -> What {
        let first = std::env::args().nth(1);
        if first.is_some_and(|first| first != "ask" && !first.starts_with('-')) {
            return What::Command;
        }
        match Self::try_parse() {
            Ok(args) => What::Ask(args),
            Err(error) => {
                let _gone = error.print();
                What::Wrong(ExitCode::from(if error.use_stderr() { 2 } else { 0 }))
            }
        }
    }

    pub(crate) fn open(&self) -> Result<Brokers, broker::Error> {
        let config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => Config::from_text("[brokers.default]\nprovider = \"inline\"\n")?,
        };
        Brokers::open(&config)
    }

    /// Whether somebody else answers.
    pub(crate) fn alone(&self) -> bool {
        self.what.is_some()
    }
}
