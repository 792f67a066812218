//! Without the feature `opentelemetry` publishing, receiving and settling have no spans, and cost nothing more.

use super::consumer::Consumer;
use super::shared::Shared;
use crate::base::Deliveries;
use crate::values::{Message, MessageId, Published, Result, StreamName};

pub(super) struct Publishing;

impl Publishing {
    #[inline(always)]
    pub(super) fn begin(_: &Shared, _: &StreamName, _: &mut [Message]) -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn end(self, _: &Result<MessageId>) {}

    #[inline(always)]
    pub(super) fn end_all(self, _: &Published) {}
}

#[inline(always)]
pub(super) fn received(_: &Consumer, _: &Deliveries) {}

pub(super) struct Settling;

impl Settling {
    #[inline(always)]
    pub(super) fn begin(_: &Consumer, _: &'static str, _: usize) -> Self {
        Self
    }
}
