//! What the machine is, without its name.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use broker_bench::results::Machine;

/// The crates whose versions are told.
const TOLD: [&str; 15] = [
    "broker",
    "flume",
    "fred",
    "lapin",
    "mq-bridge",
    "omniqueue",
    "rdkafka",
    "rdkafka-sys",
    "redis",
    "ruststream",
    "ruststream-fred",
    "ruststream-rdkafka",
    "sea-streamer-kafka",
    "sea-streamer-redis",
    "tokio",
];

/// What this run is on.
pub fn machine() -> Result<Machine> {
    let processors =
        std::fs::read_to_string("/proc/cpuinfo").context("the kernel tells nothing of processors")?;
    let processor = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let memory = std::fs::read_to_string("/proc/meminfo").context("the kernel tells nothing of memory")?;
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"))
        .context("the kernel tells no total of memory")?
        .trim()
        .parse()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // What follows the number names who built it.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    Ok(Machine {
        processor: processor
            .map(|model| model.trim_start_matches([' ', '\t', ':']).to_owned())
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism()?.get(),
        memory: (kib as f64 / f64::from(1 << 20)).round() as u64,
        kernel: format!("Linux {kernel}"),
        compiler: compiler()?,
    })
}

fn compiler() -> Result<String> {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .context("rustc can't be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// The versions in the lock file of this crate: where there are two of one crate, both.
pub fn versions() -> BTreeMap<String, String> {
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for package in include_str!("../Cargo.lock").split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
        };
        let (Some(name), Some(version)) = (value("name"), value("version")) else {
            continue;
        };
        if TOLD.contains(&name.as_str()) {
            let told = versions.entry(name).or_default();
            if !told.is_empty() {
                told.push_str(", ");
            }
            told.push_str(&version);
        }
    }
    versions
}
