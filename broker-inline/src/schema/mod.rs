//! The JSON Schema of the settings, where the crate is built with it.

#[cfg(not(feature = "schema"))]
mod absent;
#[cfg(feature = "schema")]
mod present;

#[cfg(not(feature = "schema"))]
pub(crate) use absent::describe;
#[cfg(feature = "schema")]
pub(crate) use present::describe;
