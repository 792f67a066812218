//! Torture: publishers, consumer processes and random faults on one broker, and what the ledger says of it.
//!
//! [`Torture::run`] publishes to a stream while consumers in processes of their own read it as one group. Meanwhile
//! consumers are killed, paused and sent away, the server is killed and paused, and connections are cut, refused,
//! slowed and silenced, as far as the [`Rig`] has the means. At the end everything heals, the group catches up, and
//! [`Findings`] say what was lost, came twice without a reason or out of order, and how long recovery took. Where the
//! server can be asked past the adapter what a group has settled, nothing may be that no consumer asked for.
//!
//! The same seed makes the same choices. What the machine does in between is its own.

mod acks;
mod clock;
mod faults;
mod findings;
mod folder;
mod incident;
mod journal;
mod judge;
mod member;
mod plan;
mod positions;
mod publish;
mod rig;
mod run;
mod team;

pub use findings::{Findings, Recovery};
pub use incident::Fault;
pub use member::Member;
pub use plan::{Progress, Torture};
pub use positions::{Position, Positions};
pub use rig::{Forgetful, Rig};
