//! The laws on Redis Streams, on one private server.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::ExitCode;

use broker::Brokers;
use broker::redis_streams::RedisStreamsConfig;
use broker_testkit::servers::{RedisConfig, RedisServer};
use engine_laws::{Barred, Kind};
use futures_util::future::{FutureExt as _, LocalBoxFuture, ready};
use tokio::runtime::Runtime;

struct Redis(RedisServer);

impl Kind for Redis {
    fn open(&self, _: &'static str) -> Brokers {
        let config = RedisStreamsConfig::new(&self.0.url()).unwrap();
        Brokers::builder().default(config).build().unwrap()
    }

    /// Lays something else where they are.
    fn bar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()> {
        let (place, aside) = places(barred);
        self.0.command(&["RENAME", &place, &aside]).unwrap();
        self.0.command(&["SET", &place, "in the way"]).unwrap();
        ready(()).boxed_local()
    }

    fn unbar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()> {
        let (place, aside) = places(barred);
        self.0.command(&["RENAME", &aside, &place]).unwrap();
        ready(()).boxed_local()
    }
}

/// Where the dead letters are, and where they are meanwhile.
fn places(barred: &Barred) -> (String, String) {
    let place = format!("{{{}}}:g:{}:dead", barred.stream, barred.group);
    let aside = format!("{place}:aside");
    (place, aside)
}

fn main() -> ExitCode {
    engine_laws::hold(Runtime::new, Redis(RedisConfig::new().start().unwrap()))
}
