//! What this provider claims.

use broker_core::Capabilities;

/// What every instance has.
pub(crate) const ALL: Capabilities = Capabilities::ENTERPRISE_STREAMING
    .union(Capabilities::LEASE_EXTENSION)
    .union(Capabilities::TRANSACTIONS);
