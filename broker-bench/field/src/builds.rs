//! What building with each library takes: a program with nothing else, from nothing.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use broker_bench::results::Build;

use crate::libraries::Library;

/// The lock file of this crate, so that each program has the versions that were measured.
const LOCK: &str = include_str!("../Cargo.lock");

/// For what, by whom, and the dependency; ours by its path in the tree.
const PROGRAMS: [(&str, Library, &str); 14] = [
    (
        "in process",
        Library::Broker,
        r#"broker = { path = "ROOT/broker", features = ["engine"] }"#,
    ),
    (
        "in process",
        Library::Omniqueue,
        r#"omniqueue = { version = "*", default-features = false, features = ["in_memory"] }"#,
    ),
    (
        "in process",
        Library::MqBridge,
        r#"mq-bridge = { version = "*", default-features = false }"#,
    ),
    (
        "in process",
        Library::Ruststream,
        r#"ruststream = { version = "*", features = ["memory"] }"#,
    ),
    (
        "Redis",
        Library::Broker,
        r#"broker = { path = "ROOT/broker", features = ["engine", "redis-streams"] }"#,
    ),
    ("Redis", Library::SeaStreamer, r#"sea-streamer-redis = "*""#),
    (
        "Redis",
        Library::Omniqueue,
        r#"omniqueue = { version = "*", default-features = false, features = ["redis"] }"#,
    ),
    (
        "Redis",
        Library::MqBridge,
        r#"mq-bridge = { version = "*", default-features = false, features = ["redis-streams"] }"#,
    ),
    ("Redis", Library::Ruststream, r#"ruststream-fred = "*""#),
    (
        "RabbitMQ",
        Library::Broker,
        r#"broker = { path = "ROOT/broker", features = ["engine", "rabbitmq"] }"#,
    ),
    (
        "RabbitMQ",
        Library::Omniqueue,
        r#"omniqueue = { version = "*", default-features = false, features = ["rabbitmq"] }"#,
    ),
    (
        "RabbitMQ",
        Library::MqBridge,
        r#"mq-bridge = { version = "*", default-features = false, features = ["amqp"] }"#,
    ),
    (
        "Kafka",
        Library::Broker,
        r#"broker = { path = "ROOT/broker", features = ["engine", "kafka"] }"#,
    ),
    (
        "Kafka",
        Library::SeaStreamer,
        r#"sea-streamer-kafka = { version = "*", features = ["runtime-tokio"] }"#,
    ),
];

/// Those of which the time is taken: each of them costs about a minute.
const TIMED: &str = "Redis";

/// Counts and times all programs.
pub fn measure() -> Result<Vec<Build>> {
    let root = std::env::current_dir()?;
    let folder = root.join("target/bench/builds");
    PROGRAMS
        .iter()
        .map(|program| build(&root, &folder, program))
        .collect()
}

fn build(root: &Path, folder: &Path, (server, library, dependency): &(&str, Library, &str)) -> Result<Build> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder.join("src"))?;
    let dependency = dependency.replace("ROOT", &root.display().to_string());
    let manifest = format!(
        "[package]\nname = \"program\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependency}\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest)?;
    std::fs::write(folder.join("Cargo.lock"), LOCK)?;
    std::fs::write(folder.join("src/main.rs"), "fn main() {}\n")?;
    let tree = cargo(
        folder,
        &[
            "tree",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    )?;
    let mut crates: Vec<_> = tree.lines().filter_map(|line| line.split(" (").next()).collect();
    crates.sort_unstable();
    crates.dedup();
    let seconds = if *server == TIMED {
        let start = Instant::now();
        cargo(folder, &["build", "--release", "--quiet"])?;
        Some(start.elapsed().as_secs_f64().round())
    } else {
        None
    };
    eprintln!("{server}, {}: {} crates", library.name(), crates.len());
    Ok(Build {
        library: library.name().to_owned(),
        server: (*server).to_owned(),
        // Not the program itself.
        crates: crates.len() - 1,
        seconds,
    })
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .context("cargo can't be started")?;
    ensure!(
        output.status.success(),
        "cargo {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
