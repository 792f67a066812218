//! The payload read by a codec of one's own.

use std::marker::PhantomData;

use broker_core::Message;

use super::FromMessage;
use crate::handler::{BoxError, Undecodable};
use crate::incoming::Incoming;

/// A way to read a `T` from a message's payload.
pub trait Codec<T> {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Where the payload is not a `T`; the message is then undecodable.
    fn decode(message: &Message) -> Result<T, BoxError>;
}

/// The payload read by the codec `C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<C, T>(pub T, PhantomData<fn() -> C>);

impl<C: Codec<T>, T> FromMessage for Decoded<C, T> {
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        match C::decode(incoming.delivery.message()) {
            Ok(value) => Ok(Self(value, PhantomData)),
            Err(error) => Err(Undecodable::new(error).into()),
        }
    }
}
