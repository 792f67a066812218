//! A key as lanes tell it from others.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Which messages must not overlap: a number made of the key.
///
/// Two keys with one number only wait for each other, so a quick mix of the bytes will do; the seed is the process's, so
/// that nobody can choose keys that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyMark(u64);

static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0_u8));

/// A seed for [`KeyMark::of`], taken once per runner.
pub(crate) fn seed() -> u64 {
    *SEED
}

impl KeyMark {
    /// The mark of a key's bytes.
    #[inline]
    pub(crate) fn of(key: &[u8], seed: u64) -> Self {
        let mut mixed = seed ^ key.len() as u64;
        let mut chunks = key.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk.try_into().map_or(0, u64::from_le_bytes);
            mixed = mix(mixed ^ word);
        }
        let tail = chunks
            .remainder()
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self(mix(mixed ^ tail))
    }
}

/// The two halves of a wide product, folded: each bit of the input reaches most of the output.
#[inline]
fn mix(word: u64) -> u64 {
    let wide = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f_u128;
    let [low, high] = [wide & u128::from(u64::MAX), wide >> 64];
    u64::try_from(low ^ high).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_keys_have_different_marks() {
        let mut marks: Vec<_> = (0..100_000)
            .map(|number| KeyMark::of(format!("customer-{number}").as_bytes(), 7).0)
            .collect();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), 100_000);
        assert_eq!(KeyMark::of(b"same", 7), KeyMark::of(b"same", 7));
    }
}
