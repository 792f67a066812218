//! The optional families, one file each, which only translate.

mod dead_letters;
mod endpoints;
mod groups;
mod leases;
mod partitions;
mod replay;
mod retention;
mod streams;
