//! Orders flow through a broker: published by customer, handled in three groups, retried, dead-lettered, and counted.
//!
//! The program names no broker. Which one it runs on, and what that one can do, it learns from its configuration.

mod args;
mod bits;
mod handler;
mod interrupt;
mod ledger;
mod order;
mod out;
mod plan;
mod progress;
mod publisher;
mod summary;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Instant, SystemTime};

use anyhow::{Result, anyhow};
use broker::prelude::*;
use tokio::sync::watch;
use tokio::task::JoinSet;

use args::Args;
use handler::Worker;
use ledger::Ledger;
use plan::Plan;
use publisher::Shop;
use summary::Summary;

/// Where orders are published to.
const STREAM: &str = "orders";

/// Who handles them; each group sees every order.
const GROUPS: [&str; 3] = ["billing", "shipping", "audit"];

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match run(&args).await {
        Ok(summary) => {
            match serde_json::to_string(&summary) {
                Ok(json) if args.json => out::line(false, &json),
                _ => out::line(false, &format!("\n{summary}")),
            }
            if summary.is_clean() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            out::line(true, &format!("orders: {error}"));
            let kind = error.downcast_ref::<Error>().map(Error::kind);
            let usage = matches!(kind, Some(ErrorKind::Config | ErrorKind::Unsupported));
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

async fn run(args: &Args) -> Result<Summary> {
    let config = args.load_config()?;
    let brokers = Brokers::open(&config)?;
    brokers.connect().await?;
    let broker = brokers.default_broker();
    let plan = Plan::new(broker, &config)?;
    out::line(
        args.json,
        &format!(
            "{} orders through `{}`: {}",
            args.messages,
            broker.provider(),
            broker.capabilities()
        ),
    );

    let run = u64::try_from(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_micros(),
    )?;
    let ledger = Arc::new(Ledger::new(plan));
    let (done, is_done) = watch::channel(false);
    let start = Instant::now();
    let (showing, shown) = mpsc::channel();
    let progress = std::thread::spawn({
        let (ledger, messages, json) = (Arc::clone(&ledger), args.messages, args.json);
        move || progress::show(&ledger, messages, json, &shown)
    });
    let mut workers = JoinSet::new();
    for group in 0..GROUPS.len() {
        let worker = Worker {
            group,
            plan,
            ledger: Arc::clone(&ledger),
            run,
            seed: args.seed,
            failures: args.failures,
        };
        for number in 0..plan.workers(args.workers) {
            let orders = worker.join(broker, number).await?;
            workers.spawn(worker.clone().work(orders, is_done.clone()));
        }
    }
    let flow = flow(args, broker, run, &ledger);
    let interrupted = tokio::select! {
        interrupted = flow => interrupted?,
        // Workers end when they are told to; one that ends before has met an error.
        Some(ended) = workers.join_next() => {
            ended??;
            return Err(anyhow!("the broker was closed"));
        }
    };
    let time = start.elapsed();
    done.send_replace(true);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    drop(showing);
    progress
        .join()
        .map_err(|_| anyhow!("showing the progress failed"))?;
    let summary = Summary::new(broker, &plan, &ledger, run, time, interrupted).await?;
    brokers.close().await?;
    Ok(summary)
}

/// Publishes, then waits until all is settled; answers whether it was interrupted.
async fn flow(args: &Args, broker: &Broker, run: u64, ledger: &Arc<Ledger>) -> Result<bool> {
    let mut interrupts = interrupt::watch()?;
    let messages = usize::try_from(args.messages)?;
    publisher::publish(
        broker,
        Shop::new(run, args.seed),
        messages,
        ledger,
        &mut interrupts,
    )
    .await?;
    tokio::select! {
        _ = ledger.drained() => {}
        // The second Ctrl-C gives up waiting.
        _ = interrupts.wait_for(|count| *count > 1) => {}
    }
    let count = *interrupts.borrow();
    Ok(count > 0)
}
