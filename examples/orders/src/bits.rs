//! A set of small numbers.

/// A set of numbers from zero, one bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Adds `number`; answers whether it was new.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let Some(word) = self.0.get_mut(word) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.word(number / 64) & (1 << (number % 64)) != 0
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many there are that are in neither of the others.
    pub(crate) fn count_without(&self, one: &Self, other: &Self) -> u64 {
        let words = self.0.iter().enumerate();
        words
            .map(|(at, word)| u64::from((word & !one.word(at) & !other.word(at)).count_ones()))
            .sum()
    }

    fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_missing() {
        let mut sets = [Bits::default(), Bits::default(), Bits::default()];
        for number in 0..1000 {
            assert!(sets[0].insert(number));
            assert!(!sets[0].insert(number));
            if number % 7 != 0 {
                sets[1 + number % 2].insert(number);
            }
        }
        assert_eq!(sets[0].count(), 1000);
        assert_eq!(sets[0].count_without(&sets[1], &sets[2]), 143);
        assert!(sets[0].contains(999) && !sets[0].contains(1000) && !sets[1].contains(7));
    }
}
