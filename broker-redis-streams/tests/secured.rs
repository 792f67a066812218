//! Certifies the provider over mutual TLS, as a user with just the rights that the README lists.

mod common;

use std::process::ExitCode;

use broker_testkit::Timing;
use broker_testkit::servers::RedisConfig;

fn main() -> broker_core::Result<ExitCode> {
    let server = RedisConfig::new()
        .durable()
        .tls()
        .proxied()
        .line("tls-auth-clients yes")
        .line("user default off")
        .user("app", "app-secret", &common::rights())
        .start()?;
    let harness = common::harness(server, 4)
        .setup("TLS, ACL, 4 partitions")
        .set("username", "app")
        .set("password", "app-secret")
        // Hundreds of handshakes, in a build without optimisation.
        .timing(Timing {
            scale: 6.0,
            ..Timing::default()
        });
    Ok(common::finish(harness).main())
}
