//! The catalogue, a file per section.

mod publish;
mod read;
