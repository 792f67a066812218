//! Private servers for tests: child processes on free ports, with their data in a temporary folder.
//!
//! A server belongs to the value that started it and ends with it. Should the test's process be killed, a watchdog
//! ends the server and removes its folder. A missing program is an error that says what to install: tests that need
//! a server fail without it, and never skip.

mod certificates;
mod control;
mod harness;
mod kafka;
mod kafka_cluster;
mod kafka_config;
mod kafka_install;
mod kafka_positions;
mod kafka_probe;
mod process;
mod rabbitmq;
mod rabbitmq_config;
mod rabbitmq_install;
mod rabbitmq_operator;
mod redis;
mod redis_cluster;
mod redis_config;
mod redis_replica;
mod redis_servers;
mod resp;
mod seat;
mod version;

pub use certificates::Certificates;
pub use harness::{PrivateServer, ServerHarness};
pub use kafka::KafkaServer;
pub use kafka_cluster::KafkaCluster;
pub use kafka_config::KafkaConfig;
pub use rabbitmq::RabbitMqServer;
pub use rabbitmq_config::RabbitMqConfig;
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use redis_config::RedisConfig;
pub use redis_replica::RedisReplica;
pub use redis_servers::RedisServers;
pub use resp::Reply;
pub use version::ServerVersion;
