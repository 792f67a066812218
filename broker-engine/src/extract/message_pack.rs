//! The payload read from MessagePack.

use serde::de::DeserializeOwned;

use super::FromMessage;
use crate::handler::{BoxError, Undecodable};
use crate::incoming::Incoming;

/// The payload read from MessagePack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePack<T>(pub T);

impl<T: DeserializeOwned> FromMessage for MessagePack<T> {
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        match rmp_serde::from_slice(incoming.delivery.payload()) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Undecodable::new(error).into()),
        }
    }
}
