//! The declared queues of a broker.

use std::collections::BTreeMap;
use std::path::Path;

use broker_core::StreamName;
use broker_core::broker::Broker;

use super::declaration::{self, Declaration};
use super::error::QueueError;
use super::queue::Queue;

/// The queues of a broker that are declared as data, used by name.
///
/// A declaration is JSON, in a file or at a web address: `{"queues":[{"name":"mailer"}]}`. A queue is a stream with one
/// group that handles it; `stream` and `group` may be given where they are not the name and `handlers`, which is the group
/// of subscribers of kind `command`.
///
/// ```
/// use broker::engine::Queues;
/// use broker::prelude::Broker;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::connect("inline://").await?;
/// let queues = Queues::from_json(&broker, r#"{"queues":[{"name":"mailer"}]}"#)?;
/// queues.get("mailer")?.send(&("ada@example.org", "welcome")).await?;
/// assert_eq!(queues.get("mailer")?.queue_length().await?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Queues {
    broker: Broker,
    declared: BTreeMap<String, Declaration>,
}

impl Queues {
    /// Reads a declaration from text.
    ///
    /// # Errors
    ///
    /// [`QueueError::Declaration`] and [`QueueError::BadName`], with the place.
    pub fn from_json(broker: &Broker, text: &str) -> Result<Self, QueueError> {
        Self::read(broker, text, "the declaration of queues")
    }

    /// Reads a declaration from a file.
    ///
    /// # Errors
    ///
    /// [`QueueError::Declaration`] and [`QueueError::BadName`], with the place.
    pub fn from_file(broker: &Broker, file: impl AsRef<Path>) -> Result<Self, QueueError> {
        let place = file.as_ref().display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| QueueError::Declaration {
            place: place.clone(),
            reason: format!("can't be read: {error}"),
            source: Some(Box::new(error)),
        })?;
        Self::read(broker, &text, &place)
    }

    /// Fetches a declaration from a web address, within ten seconds and one mebibyte.
    ///
    /// # Errors
    ///
    /// [`QueueError::Declaration`] and [`QueueError::BadName`], with the place.
    #[cfg(feature = "web-queues")]
    pub async fn fetch(broker: &Broker, address: &str) -> Result<Self, QueueError> {
        let text = super::web::fetch(address).await?;
        Self::read(broker, &text, address)
    }

    /// The queue of this name.
    ///
    /// # Errors
    ///
    /// [`QueueError::Undeclared`] with the names there are; [`QueueError::BadName`] for what can be no name.
    pub fn get(&self, name: &str) -> Result<Queue<'_>, QueueError> {
        if let Some((name, declaration)) = self.declared.get_key_value(name) {
            return Ok(Queue {
                broker: &self.broker,
                name,
                declaration,
            });
        }
        match StreamName::new(name) {
            Ok(_) => Err(QueueError::Undeclared {
                name: name.to_owned(),
                declared: self.declared.keys().cloned().collect(),
            }),
            Err(error) => Err(QueueError::BadName {
                name: name.to_owned(),
                place: "the name of a queue".to_owned(),
                source: error,
            }),
        }
    }

    /// The declared names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    fn read(broker: &Broker, text: &str, place: &str) -> Result<Self, QueueError> {
        Ok(Self {
            broker: broker.clone(),
            declared: declaration::read(text, place)?,
        })
    }
}
