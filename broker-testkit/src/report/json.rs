//! The report for programs.

use broker_core::{Error, ErrorKind, Result};

use super::Report;

impl Report {
    /// The report as one JSON object.
    ///
    /// # Errors
    ///
    /// Those of the serializer, which do not happen.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "the report can't be written as JSON").source(error)
        })
    }
}
