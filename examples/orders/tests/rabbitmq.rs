//! The program on a real RabbitMQ, with the file that its users start from.
#![cfg(unix)]

use std::process::Command;

use broker_testkit::servers::RabbitMqConfig;
use serde_json::Value;

#[test]
fn every_order_is_settled_on_rabbitmq() {
    let server = RabbitMqConfig::new().start().unwrap();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/rabbitmq.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_orders"))
        .args(["--config", config, "--messages", "2000", "--json"])
        .env("AMQP_URL", server.url())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| summary.pointer(&format!("/total/{name}")).and_then(Value::as_u64);
    assert_eq!(count("published"), Some(6000), "{summary}");
    assert_eq!(count("lost"), Some(0), "{summary}");
    let settled = count("handled").unwrap() + count("dead_lettered").unwrap();
    assert_eq!(settled, 6000, "{summary}");
}
