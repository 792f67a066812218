//! What a producer does in transactions. All of it blocks.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use crate::producer::Producer;

impl Producer {
    /// Fences whoever had its name before, and ends what that left open.
    pub(crate) fn init_transactions(&self, within: Duration) -> KafkaResult<()> {
        self.library().init_transactions(within)
    }

    pub(crate) fn begin_transaction(&self) -> KafkaResult<()> {
        self.library().begin_transaction()
    }

    /// Has a group's positions committed with the transaction.
    pub(crate) fn send_offsets(
        &self,
        positions: &TopicPartitionList,
        members: &ConsumerGroupMetadata,
        within: Duration,
    ) -> KafkaResult<()> {
        self.library()
            .send_offsets_to_transaction(positions, members, within)
    }

    pub(crate) fn commit_transaction(&self, within: Duration) -> KafkaResult<()> {
        self.library().commit_transaction(within)
    }

    pub(crate) fn abort(&self, within: Duration) -> KafkaResult<()> {
        self.library().abort_transaction(within)
    }

    /// Why it failed for good, if it did.
    pub(crate) fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.library().client().fatal_error().map(|(code, _)| code)
    }
}
