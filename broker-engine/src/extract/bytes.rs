//! The payload as it is.

use bytes::Bytes;

use super::FromMessage;
use crate::handler::BoxError;
use crate::incoming::Incoming;

/// The payload's bytes, which are shared with the message and not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl FromMessage for Payload {
    #[inline]
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        Ok(Self(incoming.delivery.payload().clone()))
    }
}

impl FromMessage for Bytes {
    #[inline]
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        Ok(incoming.delivery.payload().clone())
    }
}
