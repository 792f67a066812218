//! What is written down of a run.

use std::collections::BTreeMap;
use std::path::Path;

use broker_testkit::torture::Findings;
use serde::Serialize;

use crate::exit::Stop;

/// A run: what it was on, how much torture it was, and what was found.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    /// The server's product and version, where it tells them.
    pub(super) server: Option<String>,
    /// Whether the server was the run's own, to be killed and paused.
    pub(super) private: bool,
    /// The broker's settings for this run.
    pub(super) settings: BTreeMap<&'a str, &'a str>,
    pub(super) publishers: u32,
    pub(super) consumers: u8,
    pub(super) keys: u32,
    #[serde(flatten)]
    pub(super) findings: &'a Findings,
}

impl Report<'_> {
    /// Writes it to a file, readable by people too.
    pub(super) fn write(&self, file: &Path) -> Result<(), Stop> {
        let failed = |error: &dyn std::fmt::Display| {
            Stop::failure(format_args!("{} can't be written: {error}", file.display()))
        };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(&error))?;
        std::fs::write(file, text + "\n").map_err(|error| failed(&error))
    }
}
