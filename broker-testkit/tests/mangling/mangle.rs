//! What is mangled.

use std::time::Duration;

use broker_core::{Message, StreamName};
use serde::Deserialize;

/// One known bug, as brokers of this field had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mangle {
    /// Payloads go through text: what is no UTF-8 is replaced.
    PayloadIsText,
    /// Payloads end at their first NUL.
    PayloadEndsAtNul,
    /// Nothing is stored of an empty payload, which is answered `Ok`.
    EmptyIsNothing,
    /// Keys go through text.
    KeyIsText,
    /// Header names are written in lower case.
    HeaderNamesAreLower,
    /// Header values are cut off at the first line end.
    HeaderValuesAreLines,
    /// Header values go through text.
    HeaderValuesAreText,
    /// An empty header is left out.
    EmptyHeaderIsNone,
    /// The framework's own headers show up among the user's.
    ShowsOwnHeaders,
    /// The content type is not kept.
    LosesContentType,
    /// Streams whose names differ in `:` and `.` only are one.
    NamesAreFlattened,
    /// Streams whose names differ in case only are one.
    NamesAreLower,
    /// Long names are cut off.
    NamesAreCut,
    /// The delay of a message is forgotten.
    ForgetsDelay,
    /// A message's delay holds up those after it.
    DelayHoldsAll,
    /// A new group starts at the earliest message, wherever it was to start.
    AlwaysEarliest,
    /// A new group starts at the latest message, wherever it was to start.
    AlwaysLatest,
    /// A member's name is part of its group's position.
    GroupPerConsumer,
    /// A read of zero messages reads one.
    ZeroIsOne,
    /// A read that may wait waits until it has all that it was asked for.
    WaitsForAll,
    /// A read that finds nothing does not wait.
    NeverWaits,
    /// Opening starts a task.
    OpeningStartsTask,
    /// The tasks that connecting starts are never ended.
    LeavesTasks,
    /// The second instance's closing closes the first one.
    ClosesAll,
    /// After the connection is up the flags are fewer.
    LosesFlags,
    /// A batch is answered for its first 500 messages.
    AnswersForFew,
    /// Deleting a group with pending deliveries drops them.
    DeletesPending,
    /// Making a group again moves it.
    CreateMoves,
    /// What a removed member held is gone.
    RemovedTakesAll,
}

impl Mangle {
    pub(crate) fn stream(self, stream: &StreamName) -> StreamName {
        let name = stream.as_str();
        let mangled = match self {
            Self::NamesAreFlattened => name.replace([':', '.'], "-"),
            Self::NamesAreLower => name.to_ascii_lowercase(),
            Self::NamesAreCut => name.chars().take(100).collect(),
            _ => return stream.clone(),
        };
        StreamName::new(mangled).unwrap_or_else(|_| stream.clone())
    }

    pub(crate) fn message(self, message: &Message) -> Message {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::PayloadIsText => rebuilt(message, text(message.payload()).into_bytes(), message.headers()),
            Self::PayloadEndsAtNul => {
                let end = message.payload().iter().position(|byte| *byte == 0);
                let bytes = message.payload().slice(..end.unwrap_or(message.payload().len()));
                rebuilt(message, bytes.to_vec(), message.headers())
            }
            Self::KeyIsText => match message.message_key() {
                Some(key) => message.clone().key(text(key)),
                None => message.clone(),
            },
            Self::HeaderNamesAreLower => {
                headers(message, |name, value| Some((name.to_lowercase(), value.to_vec())))
            }
            Self::HeaderValuesAreLines => headers(message, |name, value| {
                let line = value.split(|byte| *byte == b'\n').next().unwrap_or_default();
                Some((name.to_owned(), line.to_vec()))
            }),
            Self::HeaderValuesAreText => headers(message, |name, value| {
                Some((name.to_owned(), text(value).into_bytes()))
            }),
            Self::EmptyHeaderIsNone => headers(message, |name, value| {
                (!value.is_empty()).then(|| (name.to_owned(), value.to_vec()))
            }),
            Self::ShowsOwnHeaders => message.clone().header("broker-key", "k"),
            Self::LosesContentType => {
                let mut plain = rebuilt(message, message.payload().to_vec(), message.headers());
                if message.media_type().is_some() {
                    plain = plain.content_type("");
                }
                plain
            }
            Self::ForgetsDelay if message.delivery_delay().is_some() => message.clone().delay(Duration::ZERO),
            _ => message.clone(),
        }
    }
}

fn headers(message: &Message, change: impl Fn(&str, &[u8]) -> Option<(String, Vec<u8>)>) -> Message {
    let changed = message
        .headers()
        .iter()
        .filter_map(|(name, value)| change(name, value))
        .collect();
    rebuilt(message, message.payload().to_vec(), &changed)
}

fn rebuilt(message: &Message, payload: Vec<u8>, headers: &broker_core::Headers) -> Message {
    let mut rebuilt = Message::new(payload);
    if let Some(key) = message.message_key() {
        rebuilt = rebuilt.key(key.clone());
    }
    if !headers.is_empty() {
        *rebuilt.headers_mut() = headers.clone();
    }
    if let Some(id) = message.message_id() {
        rebuilt = rebuilt.id(id.to_owned());
    }
    if let Some(kind) = message.message_kind() {
        rebuilt = rebuilt.kind(kind.to_owned());
    }
    if let Some(media) = message.media_type() {
        rebuilt = rebuilt.content_type(media.to_owned());
    }
    match message.delivery_delay() {
        Some(delay) => rebuilt.delay(delay),
        None => rebuilt,
    }
}
