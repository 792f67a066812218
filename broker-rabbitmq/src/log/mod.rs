//! Groups that read one log: a stream queue, which keeps what is settled, so that late groups get it and others again.
//!
//! The server has no positions of groups. What a group knows of the log is one message in a queue of its own, the token;
//! whoever has it in hand reads for the group, and each change is written as a new token before it is answered for.

mod activation;
mod admin;
mod attached;
mod claim;
mod directory;
mod find;
mod group;
mod groups;
mod idle;
mod member;
mod progress;
mod pump;
mod refusal;
mod replay;
mod report;
mod session;
mod settling;
mod writing;

pub(crate) use groups::Groups;
pub(crate) use member::Member;
