//! The raw client at its best, written by hand: pipelines, several of them in flight, replies taken apart without the
//! library's typed conversions, and the ack of one batch in one pipeline with the read of the next.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, Value};

use crate::payload::Payload;

/// The stream that all cases use; each case leaves none behind.
pub const STREAM: &str = "bench";

/// The consumer group.
pub const GROUP: &str = "handlers";

/// Messages of one published batch.
pub const BATCH: usize = 100;

/// A connection whose answers may take as long as they like.
pub async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(url)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Removes all that was written.
pub async fn clear(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    connection.send_packed_command(&redis::cmd("FLUSHALL")).await?;
    Ok(())
}

/// How many messages there are.
pub async fn count(connection: &mut MultiplexedConnection) -> anyhow::Result<usize> {
    let mut command = redis::cmd("XLEN");
    command.arg(STREAM);
    match connection.send_packed_command(&command).await? {
        Value::Int(count) => Ok(usize::try_from(count)?),
        other => anyhow::bail!("XLEN answered {other:?}"),
    }
}

/// How many messages are delivered and not acknowledged.
pub async fn pending(connection: &mut MultiplexedConnection) -> anyhow::Result<usize> {
    let mut command = redis::cmd("XPENDING");
    command.arg(STREAM).arg(GROUP);
    match connection.send_packed_command(&command).await? {
        Value::Array(parts) => match parts.first() {
            Some(Value::Int(count)) => Ok(usize::try_from(*count)?),
            other => anyhow::bail!("XPENDING answered {other:?}"),
        },
        other => anyhow::bail!("XPENDING answered {other:?}"),
    }
}

/// A command that publishes one message.
fn add(payload: &[u8]) -> redis::Cmd {
    let mut command = redis::Cmd::with_capacity(5, payload.len() + 32);
    command.arg("XADD").arg(STREAM).arg("*").arg("data").arg(payload);
    command
}

/// Publishes one message.
pub async fn publish(connection: &mut MultiplexedConnection, payload: &[u8]) -> anyhow::Result<()> {
    let id = connection.send_packed_command(&add(payload)).await?;
    ensure!(matches!(id, Value::BulkString(_)), "a message was refused");
    Ok(())
}

/// Publishes in pipelines of a hundred, `depth` of them in flight.
pub async fn publish_batches(url: &str, messages: usize, depth: usize) -> anyhow::Result<Duration> {
    let mut connection = connect(url).await?;
    clear(&mut connection).await?;
    let start = Instant::now();
    fill(&connection, messages, depth).await?;
    let took = start.elapsed();
    ensure!(count(&mut connection).await? == messages, "messages were lost");
    clear(&mut connection).await?;
    Ok(took)
}

/// Publishes `messages`.
pub async fn fill(connection: &MultiplexedConnection, messages: usize, depth: usize) -> anyhow::Result<()> {
    let batches = stream::iter(0..messages / BATCH).map(|_| {
        let mut connection = connection.clone();
        async move {
            let mut pipeline = Pipeline::with_capacity(BATCH);
            for message in Payload::Own.batch(BATCH) {
                pipeline.add_command(add(message.payload()));
            }
            let ids = connection.send_packed_commands(&pipeline, 0, BATCH).await?;
            ensure!(
                ids.iter().all(|id| matches!(id, Value::BulkString(_))),
                "a message was refused"
            );
            Ok(black_box(ids).len())
        }
    });
    batches
        .buffered(depth)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    Ok(())
}

/// Publishes one by one from each of `tasks` tasks on one connection.
pub async fn publish_singles(url: &str, messages: usize, tasks: usize) -> anyhow::Result<Duration> {
    let mut connection = connect(url).await?;
    clear(&mut connection).await?;
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let mut connection = connection.clone();
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    publish(&mut connection, Payload::Own.message().payload()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await??;
    }
    let took = start.elapsed();
    ensure!(
        count(&mut connection).await? == messages / tasks * tasks,
        "messages were lost"
    );
    clear(&mut connection).await?;
    Ok(took)
}

/// Makes the group.
pub async fn make_group(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let mut command = redis::cmd("XGROUP");
    command
        .arg("CREATE")
        .arg(STREAM)
        .arg(GROUP)
        .arg("0")
        .arg("MKSTREAM");
    connection.send_packed_command(&command).await?;
    Ok(())
}

/// Reads and acknowledges `messages` that lie there, `batch` at a time, on a connection of its own.
pub async fn read(url: &str, messages: usize, batch: usize) -> anyhow::Result<Duration> {
    let mut connection = connect(url).await?;
    clear(&mut connection).await?;
    make_group(&mut connection).await?;
    fill(&connection, messages.next_multiple_of(BATCH), 8).await?;
    let start = Instant::now();
    let mut seen = 0;
    let mut unsettled = Vec::new();
    while seen < messages {
        let entries = read_and_ack(&mut connection, batch, &mut unsettled).await?;
        for (id, payload) in entries {
            black_box(payload.len());
            unsettled.push(id);
            seen += 1;
        }
    }
    ack(&mut connection, &unsettled).await?;
    let took = start.elapsed();
    ensure!(pending(&mut connection).await? == 0, "messages were not settled");
    clear(&mut connection).await?;
    Ok(took)
}

/// Acknowledges `unsettled` and reads up to `batch` entries, waiting for the first, in one pipeline.
pub async fn read_and_ack(
    connection: &mut MultiplexedConnection,
    batch: usize,
    unsettled: &mut Vec<Vec<u8>>,
) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pipeline = Pipeline::with_capacity(2);
    if !unsettled.is_empty() {
        let command = pipeline.cmd("XACK").arg(STREAM).arg(GROUP);
        for id in unsettled.drain(..) {
            command.arg(id);
        }
    }
    pipeline
        .cmd("XREADGROUP")
        .arg("GROUP")
        .arg(GROUP)
        .arg("handler")
        .arg("COUNT")
        .arg(batch)
        .arg("BLOCK")
        .arg(5000)
        .arg("STREAMS")
        .arg(STREAM)
        .arg(">");
    let mut answers = connection
        .send_packed_commands(&pipeline, 0, pipeline.len())
        .await?;
    take_apart(answers.pop().context("no answer")?)
}

/// The ids and payloads in the answer to `XREADGROUP`; none where the time was up.
fn take_apart(answer: Value) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let streams = match answer {
        Value::Array(streams) => streams,
        Value::Nil => return Ok(Vec::new()),
        other => anyhow::bail!("XREADGROUP answered {other:?}"),
    };
    let Some(Value::Array(mut stream)) = streams.into_iter().next() else {
        anyhow::bail!("XREADGROUP answered no stream");
    };
    let Some(Value::Array(entries)) = stream.pop() else {
        anyhow::bail!("XREADGROUP answered no entries");
    };
    let one = |entry| {
        let Value::Array(mut parts) = entry else {
            return None;
        };
        let Some(Value::Array(mut fields)) = parts.pop() else {
            return None;
        };
        let Some(Value::BulkString(id)) = parts.pop() else {
            return None;
        };
        let Some(Value::BulkString(payload)) = fields.pop() else {
            return None;
        };
        Some((id, payload))
    };
    entries
        .into_iter()
        .map(|entry| one(entry).context("an odd entry"))
        .collect()
}

/// Acknowledges what is left.
pub async fn ack(connection: &mut MultiplexedConnection, ids: &[Vec<u8>]) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut command = redis::cmd("XACK");
    command.arg(STREAM).arg(GROUP).arg(ids);
    connection.send_packed_command(&command).await?;
    Ok(())
}
