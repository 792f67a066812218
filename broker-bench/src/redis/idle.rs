//! What subscriptions cost that have nothing to do, and what many streams cost in one process.

use std::time::Duration;

use anyhow::{Context, ensure};
use broker::prelude::*;
use broker_testkit::servers::RedisServer;

use crate::idle::Idle;
use crate::rounds;

/// How long an idle process is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Before that: what follows on subscribing is not idleness.
const SETTLING: Duration = Duration::from_secs(3);

/// The most commands a second that an idle subscription may send.
const COMMANDS: f64 = 5.0;

/// The most connections and tasks of one process with a thousand streams.
const BOUNDS: (usize, usize) = (64, 3000);

/// Watches one subscription, sixteen, and a thousand.
pub(crate) fn measure(server: &RedisServer) -> anyhow::Result<Vec<Idle>> {
    [1, 16, 1000]
        .into_iter()
        .map(|streams| watch(server, streams))
        .collect()
}

fn watch(server: &RedisServer, streams: usize) -> anyhow::Result<Idle> {
    let runtime = rounds::runtime()?;
    runtime.block_on(async {
        server.command(&["FLUSHALL"])?;
        let broker = Broker::connect(&server.url()).await?;
        let mut handling = Vec::with_capacity(streams);
        for number in 0..streams {
            let name = format!("idle-{number}");
            let publisher = broker.publisher(name.as_str()).build().await?;
            let mut deliveries = broker.subscribe(name.as_str(), "handlers").start().await?;
            handling.push(tokio::spawn(async move {
                publisher.send(Message::text("one")).await?;
                while let Some(delivery) = deliveries.next().await {
                    delivery?.ack().await?;
                }
                anyhow::Ok(())
            }));
        }
        let handled = async {
            while broker.health_stats().await.counts.acked < streams as u64 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), handled)
            .await
            .with_context(|| format!("{streams} streams were not handled within a minute"))?;
        tokio::time::sleep(SETTLING).await;
        let before = commands(server)?;
        tokio::time::sleep(WATCHED).await;
        // Not the two that asked: a watcher's own `AUTH` and `INFO` are counted with the next question.
        let sent = commands(server)?.saturating_sub(before).saturating_sub(2);
        let tasks = runtime.metrics().num_alive_tasks();
        // Not the connection that asks.
        let connections = number(server, "clients", "connected_clients")?.saturating_sub(1);
        broker.close().await?;
        for handler in handling {
            handler.await??;
        }
        ensure!(connections > 0, "nobody was connected");
        Ok(Idle {
            streams,
            commands: sent as f64 / WATCHED.as_secs_f64() / streams as f64,
            connections,
            tasks,
            asked: (COMMANDS, BOUNDS.0, BOUNDS.1),
        })
    })
}

fn commands(server: &RedisServer) -> anyhow::Result<usize> {
    number(server, "stats", "total_commands_processed")
}

fn number(server: &RedisServer, section: &str, name: &str) -> anyhow::Result<usize> {
    let info = server.command(&["INFO", section])?;
    let info = info.to_text();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.context("INFO leaves a number out")?.trim().parse()?)
}
