//! The laws of the design, and what this broker adds to them, each in a test that names it.

mod delivery;
mod support;
