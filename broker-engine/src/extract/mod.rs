//! What a handler takes out of a message.

mod bytes;
#[cfg(feature = "cbor")]
mod cbor;
mod codec;
mod json;
#[cfg(feature = "message-pack")]
mod message_pack;
mod parts;
mod state;

pub use self::bytes::Payload;
#[cfg(feature = "cbor")]
pub use cbor::Cbor;
pub use codec::{Codec, Decoded};
pub use json::Json;
#[cfg(feature = "message-pack")]
pub use message_pack::MessagePack;
pub use parts::{Attempt, Key, Kind};
pub use state::State;

use broker_core::Result;

use crate::context::Context;
use crate::handler::BoxError;
use crate::incoming::Incoming;
use crate::states::States;

/// What a handler can take out of a message.
///
/// ```
/// use broker::engine::{BoxError, FromMessage, Incoming, Undecodable};
/// use broker::prelude::*;
///
/// struct Tenant(String);
///
/// impl FromMessage for Tenant {
///     fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
///         match incoming.delivery.headers().get_str("tenant")? {
///             Some(tenant) => Ok(Self(tenant.to_owned())),
///             None => Err(Undecodable::new("there is no tenant").into()),
///         }
///     }
/// }
///
/// async fn bill(Tenant(tenant): Tenant, Json(cups): Json<u32>) {
///     println!("{cups} cups for {tenant}");
/// }
/// # let _ = Subscriber::new("orders", "billing").handle(bill);
/// ```
pub trait FromMessage: Sized {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// Where the message has it not. An [`Undecodable`](crate::Undecodable) message is not tried again.
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError>;

    /// Checks at the start that what does not come with the message is there.
    ///
    /// # Errors
    ///
    /// What is missing, and the line to add.
    fn check(states: &States) -> Result<()> {
        let _ = states;
        Ok(())
    }
}

/// What a handler of batches can take beside the messages: what comes with the subscriber.
pub trait FromContext: Sized {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// Where the subscriber has it not.
    fn from_context(context: &Context) -> Result<Self, BoxError>;

    /// Checks at the start that it is there.
    ///
    /// # Errors
    ///
    /// What is missing, and the line to add.
    fn check(states: &States) -> Result<()> {
        let _ = states;
        Ok(())
    }
}

impl FromContext for Context {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.clone())
    }
}

macro_rules! tuple {
    ($($extractor:ident),+) => {
        impl<$($extractor: FromMessage),+> FromMessage for ($($extractor,)+) {
            #[inline]
            fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
                Ok(($($extractor::from_message(incoming)?,)+))
            }

            fn check(states: &States) -> Result<()> {
                $($extractor::check(states)?;)+
                Ok(())
            }
        }
    };
}

tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
