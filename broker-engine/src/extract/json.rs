//! The payload read from JSON.

use serde::de::DeserializeOwned;

use super::FromMessage;
use crate::handler::{BoxError, Undecodable};
use crate::incoming::Incoming;

/// The payload read from JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromMessage for Json<T> {
    #[inline]
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        match incoming.delivery.json() {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Undecodable::new(error).into()),
        }
    }
}
