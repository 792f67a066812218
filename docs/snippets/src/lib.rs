//! Compiles and runs what the book shows.
//!
//! Rust snippets are this crate's documentation tests: each page is included below, so that a snippet stands where it is
//! read. `tests/settings.rs` parses the configurations with the real loader and compares the tables of settings with the
//! structs; `tests/commands.rs` runs the commands and compares what they print.

/// The pages, in the book's order.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../src/introduction.md")]
    struct Introduction;
    #[doc = include_str!("../../src/start.md")]
    struct Start;
    #[doc = include_str!("../../src/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../../src/choosing.md")]
    struct Choosing;
    #[doc = include_str!("../../src/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../../src/publishing.md")]
    struct Publishing;
    #[doc = include_str!("../../src/reading.md")]
    struct Reading;
    #[doc = include_str!("../../src/subscribers.md")]
    struct Subscribers;
    #[doc = include_str!("../../src/order.md")]
    struct Order;
    #[doc = include_str!("../../src/failures.md")]
    struct Failures;
    #[doc = include_str!("../../src/batches.md")]
    struct Batches;
    #[doc = include_str!("../../src/duplicates.md")]
    struct Duplicates;
    #[doc = include_str!("../../src/requests.md")]
    struct Requests;
    #[doc = include_str!("../../src/transactions.md")]
    struct Transactions;
    #[doc = include_str!("../../src/testing.md")]
    struct Testing;
    #[doc = include_str!("../../src/providers/inline.md")]
    struct Inline;
    #[doc = include_str!("../../src/providers/redis.md")]
    struct Redis;
    #[doc = include_str!("../../src/providers/redis-pubsub.md")]
    struct RedisPubsub;
    #[doc = include_str!("../../src/providers/kafka.md")]
    struct Kafka;
    #[doc = include_str!("../../src/providers/rabbitmq.md")]
    struct Rabbitmq;
    #[doc = include_str!("../../src/production.md")]
    struct Production;
    #[doc = include_str!("../../src/security.md")]
    struct Security;
    #[doc = include_str!("../../src/observing.md")]
    struct Observing;
    #[doc = include_str!("../../src/program.md")]
    struct Program;
    #[doc = include_str!("../../src/moving.md")]
    struct Moving;
    #[doc = include_str!("../../src/adapter.md")]
    struct Adapter;
    #[doc = include_str!("../../src/guarantees.md")]
    struct Guarantees;
    #[doc = include_str!("../../src/coming-from.md")]
    struct ComingFrom;
}
