//! The program on a real server, with the file that its users start from.

use std::process::Command;

use serde_json::Value;

/// Runs the program by `config`, in which `variable` says where the server is: nothing is lost, and every order is settled.
pub(crate) fn every_order_is_settled(config: &str, variable: &str, server: String) {
    let config = format!("{}/{config}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_orders"))
        .args(["--config", &config, "--messages", "2000", "--json"])
        .env(variable, server)
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
