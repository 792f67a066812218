//! A message's parts beside its payload, and what comes with it.

use broker_core::broker::Delivery;
use broker_core::{Headers, Message, MessageId};
use bytes::Bytes;

use super::FromMessage;
use crate::context::Context;
use crate::handler::BoxError;
use crate::incoming::Incoming;

/// The message's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub Option<Bytes>);

/// The message's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind(pub Option<String>);

/// How often the message was delivered, this time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

macro_rules! part {
    ($type:ty, $incoming:ident => $part:expr) => {
        impl FromMessage for $type {
            #[inline]
            fn from_message($incoming: &Incoming) -> Result<Self, BoxError> {
                Ok($part)
            }
        }
    };
}

part!(Key, incoming => Self(incoming.delivery.message_key().cloned()));
part!(Kind, incoming => Self(incoming.delivery.message_kind().map(str::to_owned)));
part!(Attempt, incoming => Self(incoming.delivery.attempt()));
part!(Headers, incoming => incoming.delivery.headers().clone());
part!(Message, incoming => incoming.delivery.message().clone());
part!(MessageId, incoming => incoming.delivery.id());
part!(Delivery, incoming => incoming.delivery.view());
part!(Context, incoming => incoming.context.clone());
