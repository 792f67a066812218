//! What a handler takes out of a message.

mod bytes;
mod codec;
mod json;
mod parts;
mod state;

pub use self::bytes::Payload;
pub use codec::{Codec, Decoded};
pub use json::Json;
pub use parts::{Attempt, Key, Kind};
pub use state::State;

use broker_core::Result;

use crate::handler::BoxError;
use crate::incoming::Incoming;
use crate::states::States;

/// What a handler can take out of a message.
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
