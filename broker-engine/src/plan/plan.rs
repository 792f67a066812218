//! All subscribers' guarantees.

use std::fmt;

use broker_core::{Capabilities, Error, ErrorKind, Result};
use serde::Serialize;

use super::compare::Comparison;
use super::entry::PlanEntry;

/// What each subscriber is guaranteed, as text by `Display` and as JSON by serde.
///
/// ```
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) {}
///
/// # fn main() -> broker::Result<()> {
/// let weak = broker::inline::InlineConfig::default().capabilities(Capabilities::SIMPLE_QUEUING)?;
/// let billing = Subscriber::new("orders", "billing").handle(bill).require(Capabilities::RELIABLE_MESSAGING);
/// let plan = Engine::builder(Brokers::builder().default(weak).build()?).subscribe(billing).plan()?;
/// println!("{plan}");
/// assert!(plan.check().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Plan {
    /// One for each broker, stream and group, in that order.
    pub entries: Vec<PlanEntry>,
}

impl Plan {
    /// Refuses what requires flags that its broker has not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with every subscriber concerned and the flags it misses.
    pub fn check(&self) -> Result<()> {
        let lacking: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| !entry.missing.is_empty())
            .map(|entry| {
                let names: Vec<_> = entry.missing.flags().filter_map(Capabilities::name).collect();
                format!(
                    "{}/{} requires {}, which the broker `{}` ({}) has not",
                    entry.stream,
                    entry.group,
                    names.join(", "),
                    entry.broker,
                    entry.provider
                )
            })
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Config,
            format!("{}; require less or choose another provider", lacking.join("; ")),
        ))
    }

    /// What changes for the same subscribers when this plan becomes `other`.
    #[must_use]
    pub fn against(&self, other: &Self) -> Comparison {
        Comparison::of(self, other)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| entry.fmt(f))
    }
}
