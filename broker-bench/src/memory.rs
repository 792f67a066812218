//! How much memory a piece of work takes.

use anyhow::Context;
use serde::Serialize;

/// What one case took at most.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// The case.
    pub work: &'static str,
    /// What it is, for people.
    #[serde(skip)]
    pub title: &'static str,
    /// The most that the process held beyond what it held before, in MiB.
    pub peak: f64,
    /// The most that is asked for.
    pub asked: Option<f64>,
}

/// The most that this process has held so far, in MiB, by the kernel's account.
pub fn peak() -> anyhow::Result<f64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("the kernel keeps no account of memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("the kernel keeps no account of the most memory")?
        .parse()?;
    Ok(kib / 1024.0)
}
