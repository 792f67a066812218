//! What a group knows of a log, message by message: settlement over a broker that itself knows only positions.
//!
//! A [`Window`] reaches from the oldest message that is not settled to the first one that was never handed out. For each
//! message in between it knows who has it, until when, and which attempt that is; so that a receipt is checked by one
//! comparison, a failed message comes again after its delay, a key's next message waits for the one before, and the
//! position never covers an unsettled message. Sixteen bytes a message; memory for failures only while something fails.
//!
//! It is plain arithmetic over offsets: no lock, no clock, no messages. Adapters bring those, and share what is the same
//! for every log.

mod kept;
mod lanes;
mod moment;
mod reading;
mod redelivery;
mod ring;
mod settle;
mod slot;
#[cfg(test)]
mod tests;
mod window;

pub use kept::{Chunk, Kept, New};
pub use moment::Moment;
pub use reading::{HandedOut, Reading};
pub use settle::Purpose;
pub use slot::{Slot, Tag, Who};
pub use window::Window;
