//! What an adapter has beyond the required methods.

use super::{DeadLetters, Endpoints, Groups, Leases, Partitions, Replay, Retention, Streams, Transactions};
use crate::values::{Capabilities, Error, ErrorKind, Result};

/// The optional families of one opened broker.
#[derive(Clone, Copy, Default)]
pub struct Families<'a> {
    /// Failed messages.
    pub dead_letters: Option<&'a dyn DeadLetters>,
    /// Names resolved once, and independent readers.
    pub endpoints: Option<&'a dyn Endpoints>,
    /// Groups as an operator sees them.
    pub groups: Option<&'a dyn Groups>,
    /// More time for a handler.
    pub leases: Option<&'a dyn Leases>,
    /// A stream's partitions.
    pub partitions: Option<&'a dyn Partitions>,
    /// Moving a group.
    pub replay: Option<&'a dyn Replay>,
    /// Removing old messages.
    pub retention: Option<&'a dyn Retention>,
    /// Streams as an operator sees them.
    pub streams: Option<&'a dyn Streams>,
    /// Publishes and settlements that take effect together.
    pub transactions: Option<&'a dyn Transactions>,
}

impl Families<'_> {
    /// Checks that flags and families agree, which is done once when a broker is opened.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unexpected`] that names the first flag without its family, the first family without its flag, or
    /// the first flag that lacks another one it needs. All three are mistakes of the adapter, not of its user.
    pub fn check(&self, capabilities: Capabilities) -> Result<()> {
        let mistake = |text: String| Err(Error::new(ErrorKind::Unexpected, text));
        if let Some((flag, needed)) = capabilities.broken_implication() {
            return mistake(format!(
                "the adapter claims {flag} without {needed}, which it needs; claim both or neither"
            ));
        }
        let pairs = [
            (
                Capabilities::DEAD_LETTER_QUEUE,
                "dead_letters",
                self.dead_letters.is_some(),
            ),
            (Capabilities::LEASE_EXTENSION, "leases", self.leases.is_some()),
            (
                Capabilities::STREAM_PARTITIONING,
                "partitions",
                self.partitions.is_some(),
            ),
            (Capabilities::REPLAY, "replay", self.replay.is_some()),
            (Capabilities::RETENTION, "retention", self.retention.is_some()),
            (
                Capabilities::TRANSACTIONS,
                "transactions",
                self.transactions.is_some(),
            ),
        ];
        for (flag, family, there) in pairs {
            match (capabilities.contains(flag), there) {
                (true, false) => {
                    return mistake(format!(
                        "the adapter claims {flag} and hands out no family `{family}`; hand it out in `families`"
                    ));
                }
                (false, true) => {
                    return mistake(format!(
                        "the adapter hands out the family `{family}` and does not claim {flag}; claim it in `capabilities`"
                    ));
                }
                _ => {}
            }
        }
        if self.groups.is_some() && !capabilities.contains(Capabilities::CONSUMER_GROUPS) {
            return mistake(
                "the adapter hands out the family `groups` and does not claim CONSUMER_GROUPS; claim it in `capabilities`"
                    .to_owned(),
            );
        }
        let reads = capabilities.contains(Capabilities::CONSUMER_GROUPS) || self.endpoints.is_some();
        if capabilities.contains(Capabilities::SUBSCRIBE) && !reads {
            return mistake(
                "the adapter claims SUBSCRIBE with neither CONSUMER_GROUPS nor the family `endpoints`; add one of them"
                    .to_owned(),
            );
        }
        if capabilities.contains(Capabilities::PATTERN_SUBSCRIPTION) && self.endpoints.is_none() {
            return mistake(
                "the adapter claims PATTERN_SUBSCRIPTION and hands out no family `endpoints`; hand it out in `families`"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
