//! How much memory a piece of work takes.

use anyhow::Context;
use serde::Serialize;

/// What one case took at most.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    /// The case.
    pub(crate) work: &'static str,
    #[serde(skip)]
    pub(crate) title: &'static str,
    /// The most that the process held beyond what it held before, in MiB.
    pub(crate) peak: f64,
    /// The most that is asked for.
    pub(crate) asked: Option<f64>,
}

/// The most that this process has held so far, in MiB, by the kernel's account.
pub(crate) fn peak() -> anyhow::Result<f64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("the kernel keeps no account of memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("the kernel keeps no account of the most memory")?
        .parse()?;
    Ok(kib / 1024.0)
}
