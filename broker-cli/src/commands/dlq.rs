//! `broker dlq`.

use broker_core::broker::{Broker, DeadLetterQueue};
use broker_core::{DeadLetter, DeadLetterQuery, Error, ErrorKind, MessageId, Selection};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::exit::{Stop, one_line};
use crate::json;
use crate::session::{Session, closed};
use crate::table::{Table, shown};

/// How many dead letters are asked for at once.
const PAGE: usize = 100;

/// Look after the messages that a group gave up on.
#[derive(Subcommand)]
pub(crate) enum Dlq {
    /// List them, newest first.
    List {
        #[command(flatten)]
        queue: Queue,
        /// How many at most.
        #[arg(long, short = 'n', value_name = "N", default_value_t = PAGE)]
        max: usize,
    },
    /// Show some of them with everything that is known.
    Inspect {
        #[command(flatten)]
        queue: Queue,
        /// Which; may be given several times.
        #[arg(long, required = true, value_parser = id)]
        id: Vec<MessageId>,
    },
    /// Put them back to their group, oldest first.
    Replay {
        #[command(flatten)]
        queue: Queue,
        #[command(flatten)]
        which: Which,
    },
    /// Remove them for good.
    Purge {
        #[command(flatten)]
        queue: Queue,
        #[command(flatten)]
        which: Which,
    },
}

/// Whose dead letters.
#[derive(Args)]
pub(crate) struct Queue {
    /// The stream.
    stream: String,
    /// The group.
    #[arg(long, short)]
    group: String,
}

/// Which of them.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// This one; may be given several times.
    #[arg(long, value_parser = id)]
    id: Vec<MessageId>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

impl Dlq {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.connect().await?;
        let done = self.work(session, &broker).await;
        closed(&broker, done).await
    }

    async fn work(self, session: &mut Session<'_, '_>, broker: &Broker) -> Result<(), Stop> {
        let (Self::List { queue, .. }
        | Self::Inspect { queue, .. }
        | Self::Replay { queue, .. }
        | Self::Purge { queue, .. }) = &self;
        let letters = broker.dead_letters(&queue.stream, &queue.group)?;
        match &self {
            Self::List { max, .. } => list(session, &letters, *max).await?,
            Self::Inspect { id, .. } => inspect(session, &letters, id).await?,
            Self::Replay { which, .. } => {
                let count = letters.replay_selected(&which.selection()).await?;
                tell(session, queue, "replayed", count)?;
            }
            Self::Purge { which, .. } => {
                let count = letters.purge(&which.selection()).await?;
                tell(session, queue, "purged", count)?;
            }
        }
        Ok(())
    }
}

impl Which {
    fn selection(&self) -> Selection {
        if self.all {
            Selection::All
        } else {
            Selection::Ids(self.id.clone())
        }
    }
}

async fn list(session: &mut Session<'_, '_>, letters: &DeadLetterQueue, max: usize) -> Result<(), Stop> {
    let mut table = Table::new(["ID", "ATTEMPTS", "LAST FAILED", "KEY", "REASON"]);
    let (mut left, mut before) = (max, None);
    while left > 0 {
        let page = letters.list(DeadLetterQuery {
            limit: left.min(PAGE),
            before,
            ..DeadLetterQuery::default()
        });
        let page = page.await?;
        left = left.saturating_sub(page.letters.len());
        for letter in &page.letters {
            if session.is_json() {
                session.object(&json::dead_letter(letter))?;
            } else {
                table.row(row(letter));
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    if !session.is_json() {
        session.table(&table)?;
    }
    Ok(())
}

async fn inspect(
    session: &mut Session<'_, '_>,
    letters: &DeadLetterQueue,
    ids: &[MessageId],
) -> Result<(), Stop> {
    for id in ids {
        let Some(letter) = letters.inspect(id).await? else {
            let missing = Error::new(ErrorKind::NotFound, format!("no dead letter has the id `{id}`"));
            return Err(missing.operation("inspect dead letter").into());
        };
        if session.is_json() {
            session.object(&json::dead_letter(&letter))?;
        } else {
            session.table(&story(&letter))?;
        }
    }
    Ok(())
}

fn tell(session: &mut Session<'_, '_>, queue: &Queue, what: &str, count: u64) -> Result<(), Stop> {
    if session.is_json() {
        session.object(&json!({ "stream": queue.stream, "group": queue.group, what: count }))?;
    } else {
        session.line(format_args!("{what} {count}"))?;
    }
    Ok(())
}

fn row(letter: &DeadLetter) -> [String; 5] {
    [
        letter.id.to_string(),
        letter.attempts.to_string(),
        json::time(letter.last_failed),
        key(letter),
        shown(one_line(&letter.failure.reason).as_bytes()),
    ]
}

fn story(letter: &DeadLetter) -> Table {
    let mut table = Table::plain();
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("id", letter.id.to_string());
    row("original id", letter.original_id.to_string());
    row("partition", letter.partition.to_string());
    row("attempts", letter.attempts.to_string());
    row("first failed", json::time(letter.first_failed));
    row("last failed", json::time(letter.last_failed));
    row("consumer", letter.consumer.to_string());
    row("reason", shown(letter.failure.reason.as_bytes()));
    for cause in &letter.failure.chain {
        row("caused by", shown(cause.as_bytes()));
    }
    row("key", key(letter));
    for (name, value) in letter.message.headers().iter() {
        row("header", format!("{}={}", shown(name.as_bytes()), shown(value)));
    }
    row("payload", shown(letter.message.payload()));
    table
}

fn key(letter: &DeadLetter) -> String {
    letter
        .message
        .message_key()
        .map_or_else(|| "-".to_owned(), |key| shown(key))
}

fn id(text: &str) -> Result<MessageId, String> {
    text.parse().map_err(|error: Error| error.message().to_owned())
}
