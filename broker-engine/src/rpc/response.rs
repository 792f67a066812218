//! The answer to a request.

use broker_core::{Error, ErrorKind, Message, Result};
use serde::de::DeserializeOwned;

use super::{CURRENT_VERSION, ERROR, STATUS, Status, VERSION};

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Response {
    message: Message,
    status: Status,
}

impl Response {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where it is of a version that is not known here.
    pub(super) fn read(message: Message) -> Result<Self> {
        match message.headers().get_str(VERSION)? {
            None | Some(CURRENT_VERSION) => {}
            Some(other) => {
                return Err(Error::new(
                    ErrorKind::InvalidMessage,
                    format!(
                        "the answer's version is {other}; {CURRENT_VERSION} is known here, update this program"
                    ),
                ));
            }
        }
        let status = message
            .headers()
            .get_str(STATUS)?
            .and_then(|text| text.parse().ok());
        Ok(Self {
            status: status.map_or(Status::UNKNOWN, Status),
            message,
        })
    }

    /// How it ended.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether it was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status.is_ok()
    }

    /// What went wrong, in one line.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.message.headers().get_str(ERROR).ok().flatten()
    }

    /// The whole message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The payload read from JSON, of an answer that is a success.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] for what is no JSON of a `T`; [`ErrorKind::Unexpected`] with status and error where
    /// it is no success.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        if self.is_ok() {
            return self.message.to_json();
        }
        let error = Error::new(
            ErrorKind::Unexpected,
            format!("the request ended with {}", self.status),
        );
        Err(match self.error() {
            Some(text) => error.with("error", text),
            None => error,
        })
    }
}
