//! The notes of a group, written beside its queue: one message, of which the latest counts.

use broker_core::{ErrorKind, Message, Result};
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::notes::Notes;
use crate::client::Client;
use crate::codec;
use crate::error::from_lapin;
use crate::meta::Meta;
use crate::names;
use crate::sender::Outgoing;

/// Writes the notes of a group, which are stored when this returns.
pub(crate) async fn write(client: &Client, group: &ShortString, notes: &Notes, whole: bool) -> Result<()> {
    let queue = names::attempts(group.as_str())?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    client.beside(&queue, arguments).await?;
    let (message, meta) = (Message::text(notes.to_text(whole)), Meta::new(client.id()));
    let (properties, table) = codec::encode(&message, &meta, client.config.persistent)?;
    let record = Outgoing {
        id: meta.id,
        exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
        routing_key: queue,
        payload: message.payload().clone(),
        properties: codec::finish(properties, table),
    };
    client.put(vec![record]).await
}

/// Reads the notes of a group, and whether they are the whole; none where nobody wrote any.
pub(crate) async fn read(client: &Client, group: &ShortString) -> Result<(Notes, bool)> {
    let queue = names::attempts(group.as_str())?;
    let channel = client.asking().await?;
    let (mut notes, mut whole) = (Notes::default(), false);
    // For a moment there may be two.
    loop {
        let got = channel.basic_get(queue.clone(), BasicGetOptions::default()).await;
        match got.map_err(|error| from_lapin(&error)) {
            Ok(Some(got)) => {
                let (more, is_whole) = Notes::from_text(&got.delivery.data);
                notes.merge(&more);
                whole = is_whole;
            }
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((notes, false)),
            Err(error) => return Err(error),
        }
    }
    let all = BasicNackOptions {
        multiple: true,
        requeue: true,
    };
    // They stay for whoever comes next; without this they would as well, once the channel is gone.
    let kept = channel.basic_nack(0, all).await;
    kept.map_err(|error| from_lapin(&error))?;
    Ok((notes, whole))
}
