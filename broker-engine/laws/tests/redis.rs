//! The laws on Redis Streams, on one private server.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::ExitCode;

use broker::Brokers;
use broker::redis_streams::RedisStreamsConfig;
use broker_testkit::servers::RedisConfig;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let server = RedisConfig::new().start().unwrap();
    engine_laws::hold(Runtime::new, move |_| {
        let config = RedisStreamsConfig::new(&server.url()).unwrap();
        Brokers::builder().default(config).build().unwrap()
    })
}
