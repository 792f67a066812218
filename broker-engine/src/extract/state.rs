//! What the application shares with its handlers.

use std::any::type_name;

use broker_core::Result;

use super::{FromContext, FromMessage};
use crate::context::Context;
use crate::handler::BoxError;
use crate::incoming::Incoming;
use crate::states::States;

/// A clone of the application's value of this type; the engine does not start without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Clone + Send + Sync + 'static> FromMessage for State<T> {
    #[inline]
    fn from_message(incoming: &Incoming) -> Result<Self, BoxError> {
        Self::from_context(&incoming.context)
    }

    fn check(states: &States) -> Result<()> {
        states.need::<T>()
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for State<T> {
    #[inline]
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        match context.state() {
            Some(state) => Ok(Self(state)),
            None => Err(format!("there is no state of type `{}`", type_name::<T>()).into()),
        }
    }

    fn check(states: &States) -> Result<()> {
        states.need::<T>()
    }
}
