//! Prices are asked for and answered over a broker.

mod args;
mod asking;
mod prices;
mod summary;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use broker::prelude::*;

use args::{Args, What};
use summary::Summary;

fn main() -> ExitCode {
    match Args::read() {
        // `server`, `plan`, `health` and the rest are the framework's own.
        What::Command => prices::service().main(),
        What::Wrong(code) => code,
        What::Ask(args) => {
            let summary = tokio::runtime::Runtime::new()
                .map_err(Into::into)
                .and_then(|runtime| runtime.block_on(run(&args)));
            match summary {
                Ok(summary) => tell(&args, &summary),
                Err(error) => {
                    let _gone = writeln!(std::io::stderr(), "rpc: {error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Asks; and answers too, where nobody else does.
async fn run(args: &Args) -> Result<Summary> {
    let brokers = args.open()?;
    brokers.connect().await?;
    let engine = if args.alone() {
        None
    } else {
        Some(
            prices::service()
                .on(brokers.clone())
                .keep_brokers_open()
                .start()
                .await?,
        )
    };
    let asked = asking::all(brokers.default_broker(), args.requests, args.askers).await;
    if let Some(engine) = engine {
        engine.stop().await?;
    }
    brokers.close().await?;
    asked
}

fn tell(args: &Args, summary: &Summary) -> ExitCode {
    let mut output = std::io::stdout();
    let _gone = match serde_json::to_string(summary) {
        Ok(json) if args.json => writeln!(output, "{json}"),
        _ => write!(output, "{summary}"),
    };
    if summary.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
