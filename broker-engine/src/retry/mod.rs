//! When a failed message is tried again, and when it is given up.

mod budget;
mod policy;

pub(crate) use budget::Budget;
pub use policy::RetryPolicy;
