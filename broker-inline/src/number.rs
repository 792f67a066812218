//! Conversions between offsets and places in memory.

/// A count or distance within what is kept in memory, as an index.
#[expect(
    clippy::cast_possible_truncation,
    reason = "distances between offsets that are kept are bounded by memory, so that they fit on 32 bits too"
)]
#[inline]
pub(crate) const fn index(distance: u64) -> usize {
    distance as usize
}

/// A length that a bound keeps far below four billions; what is above is cut, and the rest comes with the next call.
#[inline]
pub(crate) fn run_length(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
