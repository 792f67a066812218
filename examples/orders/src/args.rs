//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use broker::Result;
use broker::config::Config;
use clap::Parser;

/// The configuration that is used when none is named.
const INLINE: &str = include_str!("../inline.toml");

/// Publishes orders to a broker, handles them in three consumer groups, and counts what became of each.
///
/// Ends by itself, or on Ctrl-C: then it stops publishing and handles what is under way. A second Ctrl-C gives up.
/// The exit code is 0 if nothing was lost and each customer's order was kept, 1 if not, 2 for bad input.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Read the broker from this file's `[brokers.default]`; without it the broker is inside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Publish this many orders.
    #[arg(long, value_name = "N", default_value_t = 120_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) messages: u64,

    /// Handle with this many workers in each group.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) workers: u64,

    /// Draw orders and failures from this seed; the same seed gives the same orders and failures.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) seed: u64,

    /// Let this share of the orders fail, from 0 to 1; one in twenty of these fails for good.
    #[arg(long, value_name = "RATE", default_value_t = 0.05, value_parser = share)]
    pub(crate) failures: f64,

    /// Print the summary as JSON on standard output, and the progress on standard error.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// Reads the command line; what is wrong with it is told in one line.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            let text = error.to_string();
            if !error.use_stderr() {
                crate::out::line(false, &text);
                return ExitCode::SUCCESS;
            }
            let first = text.lines().next().unwrap_or_default();
            let first = first.strip_prefix("error: ").unwrap_or(first);
            crate::out::line(true, &format!("orders: {first}; see --help"));
            ExitCode::from(2)
        })
    }

    /// The named configuration, or the one built in; the environment is laid over either.
    pub(crate) fn load_config(&self) -> Result<Config> {
        if let Some(path) = &self.config {
            return Config::from_file(path);
        }
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        Config::parse(INLINE, "inline.toml (built in)", &|name| std::env::var(name).ok())?
            .with_environment(variables)
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a number from 0 to 1 is expected, such as 0.05".to_owned())
}
