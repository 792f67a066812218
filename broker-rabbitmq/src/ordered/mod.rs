//! Groups whose messages of one key come in order: one consumer at the server for each, the queue's single active one,
//! whose deliveries the members in this process share.
//!
//! A message that failed, or rests, stays here with its key until it is settled: put back at the server, it would come
//! behind the others. How often it was handed out is written down beside the queue, for whoever has it next.

mod group;
mod groups;
mod idle;
mod member;
mod notes;
mod pump;
mod record;
mod refusal;
mod session;
mod settling;
#[cfg(test)]
mod tests;

pub(crate) use groups::Groups;
pub(crate) use member::Member;
