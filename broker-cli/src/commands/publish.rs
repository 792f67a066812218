//! `broker publish`.

use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::{Message, Outcome};
use clap::Args;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use crate::arguments::duration;
use crate::exit::{Exit, Stop, exit_of};
use crate::session::{Session, closed};

/// The most that is taken from standard input as one message; brokers allow far less.
const MAX_INPUT: usize = 64 * 1024 * 1024;

/// Publish a message, or one per line of standard input.
#[derive(Args)]
pub(crate) struct Publish {
    /// The stream.
    stream: String,
    /// The payload; without it, standard input is.
    #[arg(long, short, value_name = "TEXT")]
    data: Option<String>,
    /// The key: it decides the partition, and messages of one key keep their order.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A header; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The kind, which handlers are chosen by.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The application's own id, which deduplication goes by.
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    id: Option<String>,
    /// The payload's media type, such as application/json.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// How long the message stays invisible, such as 30s.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,
    /// Publish each line of standard input as a message of its own; an empty line is one too.
    #[arg(long, conflicts_with = "data")]
    lines: bool,
}

impl Publish {
    pub(crate) async fn run(mut self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.connect().await?;
        let done = if self.lines {
            self.publish_lines(session, &broker).await
        } else {
            let payload = match self.data.take() {
                Some(data) => data.into_bytes(),
                None => all_input(session).await?,
            };
            self.publish_one(session, &broker, payload).await
        };
        closed(&broker, done).await
    }

    async fn publish_one(
        &self,
        session: &mut Session<'_, '_>,
        broker: &Broker,
        payload: Vec<u8>,
    ) -> Result<(), Stop> {
        let id = broker.publish(&self.stream, self.message(payload)).await?;
        if session.is_json() {
            session.object(&json!({ "stream": self.stream, "id": id }))?;
        } else {
            session.line(id)?;
        }
        Ok(())
    }

    /// Publishes the lines that are there, together; then waits for more.
    async fn publish_lines(&self, session: &mut Session<'_, '_>, broker: &Broker) -> Result<(), Stop> {
        let (mut lines, mut number, mut exit) = (Lines::default(), 0, Exit::Success);
        loop {
            let (payloads, at_end) = lines.next(session).await?;
            let messages = payloads.into_iter().map(|line| self.message(line)).collect();
            let published = match broker.publish_batch(&self.stream, messages).await {
                Ok(published) => published,
                Err(error) => return Err(error.with("published_lines", number).into()),
            };
            for outcome in published.into_outcomes() {
                number += 1;
                match outcome {
                    Outcome::Stored(id) if session.is_json() => {
                        session.object(&json!({ "stream": self.stream, "line": number, "id": id }))?;
                    }
                    Outcome::Stored(id) => session.line(id)?,
                    Outcome::NotSent(error) => {
                        session.complain(format_args!("line {number}: {error}"));
                        exit = exit.max(exit_of(&error));
                    }
                    Outcome::Unknown(error) => {
                        session.complain(format_args!("line {number} may be stored or not: {error}"));
                        exit = exit.max(exit_of(&error));
                    }
                }
            }
            if at_end {
                break;
            }
        }
        if exit == Exit::Success {
            Ok(())
        } else {
            Err(Stop::quietly(exit))
        }
    }

    fn message(&self, payload: Vec<u8>) -> Message {
        let mut message = Message::new(payload);
        if let Some(key) = &self.key {
            message = message.key(key.clone());
        }
        for (name, value) in &self.header {
            message = message.header(name.clone(), value.clone());
        }
        if let Some(kind) = &self.kind {
            message = message.kind(kind.clone());
        }
        if let Some(id) = &self.id {
            message = message.id(id.clone());
        }
        if let Some(content_type) = &self.content_type {
            message = message.content_type(content_type.clone());
        }
        if let Some(delay) = self.delay {
            message = message.delay(delay);
        }
        message
    }
}

/// Standard input, cut into lines as it comes.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that the next piece of input completes, and whether it was the last.
    async fn next(&mut self, session: &mut Session<'_, '_>) -> Result<(Vec<Vec<u8>>, bool), Stop> {
        let input = session.input();
        let piece = input.fill_buf().await?;
        let length = piece.len();
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.begun
                .extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
            if part.ends_with(b"\n") {
                lines.push(std::mem::take(&mut self.begun));
            }
        }
        input.consume(length);
        if length == 0 && !self.begun.is_empty() {
            lines.push(std::mem::take(&mut self.begun));
        }
        if self.begun.len() > MAX_INPUT {
            return Err(too_long("a line of standard input"));
        }
        Ok((lines, length == 0))
    }
}

async fn all_input(session: &mut Session<'_, '_>) -> Result<Vec<u8>, Stop> {
    let mut payload = Vec::new();
    let bound = MAX_INPUT as u64 + 1;
    session.input().take(bound).read_to_end(&mut payload).await?;
    if payload.len() > MAX_INPUT {
        return Err(too_long("standard input"));
    }
    Ok(payload)
}

fn too_long(what: &str) -> Stop {
    Stop::failure(format_args!(
        "{what} is longer than {MAX_INPUT} bytes; publish a reference to it"
    ))
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
