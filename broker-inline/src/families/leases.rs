//! Leases.

use std::time::Duration;

use broker_core::base::{Leases, Settle};
use broker_core::{Capabilities, Result, Settled, Settlements, async_trait};

use crate::broker::InlineBroker;

#[async_trait]
impl Leases for InlineBroker {
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements> {
        self.session.check(Capabilities::LEASE_EXTENSION)?;
        Ok(match self.session.find(settle.member) {
            Some(found) => self.session.extend(
                &found.stream,
                &found.group,
                found.member.as_deref(),
                settle.runs,
                by,
            ),
            None => Settlements::all(Settled::NotPending, settle.len()),
        })
    }
}
