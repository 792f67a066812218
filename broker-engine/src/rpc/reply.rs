//! What a handler answers a request with.

use broker_core::broker::Delivery;
use broker_core::{Message, Result};
use serde::Serialize;

use super::{CURRENT_VERSION, ERROR, REPLY_TO, REQUEST_ID, STATUS, Status, VERSION};
use crate::handler::{BoxError, IntoOutcome, Outcome, Outgoing};

/// What a handler answers a request with. A message that is no request is handled all the same, and nobody hears of it.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    status: Status,
    value: std::result::Result<T, String>,
}

impl<T> Reply<T> {
    /// It was done; this is the answer.
    #[must_use]
    pub fn ok(value: T) -> Self {
        Self {
            status: Status::SUCCESS,
            value: Ok(value),
        }
    }

    /// It was not done, with a status such as 400, and why.
    #[must_use]
    pub fn error(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status: Status(status),
            value: Err(reason.into()),
        }
    }
}

impl<T: Serialize> IntoOutcome for Reply<T> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        let message = match &self.value {
            Ok(value) => Message::json(value)?,
            Err(reason) => Message::new("").header(ERROR, reason.clone()),
        };
        Ok(Outcome::Reply(Box::new(
            message.header(STATUS, self.status.0.to_string()),
        )))
    }
}

/// Where the answer to a message goes, and the answer addressed so; `None` where it is no request.
pub(crate) fn addressed(request: &Delivery, mut answer: Message) -> Option<Outgoing> {
    let headers = request.headers();
    let stream = headers.get_str(REPLY_TO).ok().flatten()?.to_owned();
    if let Some(id) = headers.get(REQUEST_ID) {
        answer.headers_mut().insert(REQUEST_ID, id.clone());
    }
    answer.headers_mut().insert(VERSION, CURRENT_VERSION);
    // An address that is no name is the asker's mistake, of which it hears by waiting in vain.
    Outgoing::new(stream, answer).ok()
}

/// The answer of a handler that failed for good.
pub(crate) fn failed(status: Status, reason: &str) -> Message {
    Message::new("")
        .header(STATUS, status.0.to_string())
        .header(ERROR, reason.to_owned())
}
