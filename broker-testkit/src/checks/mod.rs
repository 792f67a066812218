//! The catalogue, a file per section.

mod ack;
mod cancel;
mod dead_letter_queue;
mod dead_letters;
mod delivery;
mod health;
mod leases;
mod nack;
mod order;
mod partitions;
mod prefetch;
mod publish;
mod read;
mod replay;
mod retention;
mod scene;
