//! Certifies each mode over mutual TLS, as a user with just the rights that the README lists for it.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use broker_testkit::Timing;
use broker_testkit::servers::RedisConfig;

fn main() -> ExitCode {
    common::each_mode(|mode| {
        let server = RedisConfig::new()
            .durable()
            .tls()
            .proxied()
            .line("tls-auth-clients yes")
            .line("user default off")
            .user("app", "app-secret", &common::rights(mode))
            .start()?;
        let harness = common::harness(server, mode)
            .setup("TLS, ACL")
            .set("username", "app")
            .set("password", "app-secret")
            // Hundreds of handshakes, in a build without optimisation.
            .timing(Timing {
                lease: Duration::from_secs(1),
                scale: 3.0,
                ..Timing::default()
            });
        Ok(common::finish(harness).main())
    })
}
