//! The payload read from CBOR.

use serde::de::DeserializeOwned;

use super::FromMessage;
use crate::handler::{BoxError, Undecodable};
use crate::incoming::Incoming;

/// The payload read from CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cbor<T>(pub T);

impl<T: DeserializeOwned> FromMessage for Cbor<T> {
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        match ciborium::from_reader(incoming.delivery.payload().as_ref()) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Undecodable::new(error).into()),
        }
    }
}
