//! `broker trace`.

use std::time::{Duration, SystemTime};

use broker_core::broker::Delivery;
use broker_core::{
    Broker, Capabilities, DeadLetter, DeadLetterQuery, StartPosition, StreamName, StreamPattern,
};
use clap::Args;
use serde_json::json;

use crate::arguments::duration;
use crate::exit::Stop;
use crate::json::time;
use crate::session::{Session, closed};
use crate::table::Table;

/// Tell a message's story from its headers: what it followed from, what followed from it, and where it was given up.
/// Streams are read from their start, without taking part in any group.
#[derive(Args)]
pub(crate) struct Trace {
    /// The id of a message, or the correlation id of the whole story.
    id: String,
    /// Look only on this stream, or on those that match a pattern such as user.*; may be given several times.
    #[arg(long, value_name = "STREAM")]
    stream: Vec<String>,
    /// How long a stream may be quiet before it counts as read.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    quiet: Duration,
}

/// One message of the story.
struct Step {
    stored_at: Option<SystemTime>,
    stream: StreamName,
    place: String,
    id: String,
    kind: Option<String>,
    correlation: String,
    causation: Option<String>,
}

impl Trace {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.connect().await?;
        let done = self.tell(session, &broker).await;
        closed(&broker, done).await
    }

    async fn tell(self, session: &mut Session<'_, '_>, broker: &Broker) -> Result<(), Stop> {
        let streams = self.streams(broker).await?;
        let mut story = self.look(broker, &streams, &self.id).await?;
        // A message in the middle names the story that it belongs to.
        let whole = story
            .iter()
            .map(|step| step.correlation.clone())
            .find(|whole| *whole != self.id);
        if let Some(whole) = whole {
            story = self.look(broker, &streams, &whole).await?;
        }
        if story.is_empty() {
            return Err(Stop::failure(format_args!(
                "no message on {} streams has the id `{}`, or follows from it",
                streams.len(),
                self.id
            )));
        }
        story.sort_by_key(|step| step.stored_at);
        let mut letters = Vec::new();
        if broker.has_capability(Capabilities::DEAD_LETTER_QUEUE) {
            for stream in &streams {
                letters.extend(given_up(broker, stream, &story).await?);
            }
        }
        write(session, &story, &letters)
    }

    /// The streams to look at: the given ones, or all.
    async fn streams(&self, broker: &Broker) -> Result<Vec<StreamName>, Stop> {
        let mut streams = Vec::new();
        for wanted in &self.stream {
            if StreamPattern::is_pattern(wanted) {
                let pattern = StreamPattern::new(wanted.as_str())?;
                let all = broker.streams().await?;
                streams.extend(all.into_iter().filter(|stream| pattern.matches(stream.as_str())));
            } else {
                streams.push(StreamName::new(wanted.as_str())?);
            }
        }
        if self.stream.is_empty() {
            streams = broker.streams().await?;
        }
        Ok(streams)
    }

    /// The messages that have this id, as their own, their cause's or their story's.
    async fn look(&self, broker: &Broker, streams: &[StreamName], id: &str) -> Result<Vec<Step>, Stop> {
        let mut found = Vec::new();
        for stream in streams {
            let Some(info) = broker.stream_info(stream).await? else {
                continue;
            };
            let listening = broker.listen(stream).start_at(StartPosition::Earliest);
            let mut deliveries = listening.start().await?;
            let mut left = info.messages;
            while left > 0 {
                // One that was removed meanwhile is not waited for.
                let Ok(Some(next)) = tokio::time::timeout(self.quiet, deliveries.next()).await else {
                    break;
                };
                let step = Step::of(&next?);
                if step.id == id || step.correlation == id || step.causation.as_deref() == Some(id) {
                    found.push(step);
                }
                left -= 1;
            }
            deliveries.close().await?;
        }
        Ok(found)
    }
}

impl Step {
    fn of(delivery: &Delivery) -> Self {
        let header = |name| delivery.headers().get_str(name).ok().flatten().map(str::to_owned);
        let place = delivery.id().to_string();
        let id = delivery.message_id().map_or_else(|| place.clone(), str::to_owned);
        Self {
            stored_at: delivery.stored_at(),
            stream: delivery.stream().clone(),
            correlation: header("correlation-id").unwrap_or_else(|| id.clone()),
            causation: header("causation-id"),
            kind: delivery.message().message_kind().map(str::to_owned),
            place,
            id,
        }
    }
}

/// The dead letters of the story's messages on a stream.
async fn given_up(broker: &Broker, stream: &StreamName, story: &[Step]) -> Result<Vec<DeadLetter>, Stop> {
    let mut letters = Vec::new();
    let is_of = |letter: &DeadLetter| {
        let place = letter.original_id.to_string();
        story
            .iter()
            .any(|step| step.stream == *stream && step.place == place)
    };
    for info in broker.groups(stream).await? {
        let queue = broker.dead_letters(stream, &info.group)?;
        let mut query = DeadLetterQuery::default();
        loop {
            let page = queue.list(query.clone()).await?;
            letters.extend(page.letters.into_iter().filter(is_of));
            query.before = page.next;
            if query.before.is_none() {
                break;
            }
        }
    }
    Ok(letters)
}

fn write(session: &mut Session<'_, '_>, story: &[Step], letters: &[DeadLetter]) -> Result<(), Stop> {
    if session.is_json() {
        for step in story {
            session.object(&json!({
                "event": "published",
                "time": step.stored_at.map(time),
                "stream": step.stream,
                "id": step.place,
                "message_id": step.id,
                "kind": step.kind,
                "correlation_id": step.correlation,
                "causation_id": step.causation,
            }))?;
        }
        for letter in letters {
            session.object(&json!({
                "event": "given_up",
                "time": time(letter.last_failed),
                "stream": letter.stream,
                "id": letter.original_id.to_string(),
                "group": letter.group,
                "attempts": letter.attempts,
                "reason": letter.failure.reason,
            }))?;
        }
        return Ok(());
    }
    let mut table = Table::new(["TIME", "STREAM", "ID", "KIND", "WHAT"]);
    for step in story {
        let what = step
            .causation
            .as_ref()
            .map_or_else(|| "published".to_owned(), |cause| format!("follows from {cause}"));
        table.row([
            step.stored_at.map_or_else(|| "-".to_owned(), time),
            step.stream.to_string(),
            step.id.clone(),
            step.kind.clone().unwrap_or_else(|| "-".to_owned()),
            what,
        ]);
    }
    for letter in letters {
        let attempts = letter.attempts;
        table.row([
            time(letter.last_failed),
            letter.stream.to_string(),
            letter.original_id.to_string(),
            "-".to_owned(),
            format!(
                "given up by {} after {attempts} attempts: {}",
                letter.group, letter.failure.reason
            ),
        ]);
    }
    Ok(session.table(&table)?)
}
