//! A message that a handler answers with.

use broker_core::{Error, Message, Result, StreamName};

/// A message that a handler wants published before its own is settled.
///
/// ```
/// use broker::engine::Outgoing;
/// use broker::prelude::*;
///
/// async fn place(Json(cups): Json<u32>) -> Result<Outgoing, broker::Error> {
///     Outgoing::new("bills", Message::json(&(cups * 350))?.kind("bill.due"))
/// }
/// # let _ = Subscriber::new("orders", "desk").handle(place);
/// ```
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) stream: StreamName,
    pub(crate) message: Message,
    pub(crate) broker: Option<String>,
}

impl Outgoing {
    /// A message for `stream` of the broker that the handled one came from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](broker_core::ErrorKind::InvalidName).
    pub fn new<S>(stream: S, message: Message) -> Result<Self>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        Ok(Self {
            stream: stream.try_into().map_err(Error::from)?,
            message,
            broker: None,
        })
    }

    /// Publishes to another configured broker.
    #[must_use]
    pub fn on(mut self, broker: impl Into<String>) -> Self {
        self.broker = Some(broker.into());
        self
    }
}
