//! What became of all requests.

use std::fmt;

use serde::Serialize;

/// What became of all requests.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) asked: u64,
    /// Answered with the own price.
    pub(crate) answered: u64,
    /// Answered with 400.
    pub(crate) refused: u64,
    /// Answered with 500.
    pub(crate) failed: u64,
    /// Not answered in time.
    pub(crate) timed_out: u64,
    /// Answers that came when nobody waited for them any more.
    pub(crate) late: u64,
    /// Answered otherwise than expected: somebody else's answer, or a wrong status.
    pub(crate) wrong: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.refused += other.refused;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.late += other.late;
        self.wrong += other.wrong;
    }

    /// Whether each request ended as it had to.
    pub(crate) fn is_clean(&self) -> bool {
        let ended = self.answered + self.refused + self.failed + self.timed_out;
        self.wrong == 0 && ended == self.asked && self.late == self.timed_out
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in [
            ("asked", self.asked),
            ("answered (200)", self.answered),
            ("refused (400)", self.refused),
            ("failed (500)", self.failed),
            ("timed out", self.timed_out),
            ("late answers", self.late),
            ("wrong answers", self.wrong),
        ] {
            writeln!(f, "{name:<16}{count:>8}")?;
        }
        Ok(())
    }
}
