//! The catalogue, a file per section.

mod batches;
mod blocking;
mod cancel;
mod capabilities;
mod closing;
mod config;
mod group_admin;
mod groups;
mod headers;
mod lifecycle;
mod names;
mod payload;
mod publish;
mod read;
mod registry;
mod subscribe;
mod unsupported;
mod unsupported_base;
