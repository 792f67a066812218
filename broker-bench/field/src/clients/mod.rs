//! The libraries as each server has them: how they connect, and where they publish and read.

pub mod kafka;
pub mod rabbitmq;
pub mod redis;
