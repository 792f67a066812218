//! What settling answers.

use serde::Serialize;

/// What became of one receipt that was to be settled. None of these is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// The message is done for this group.
    Acked,
    /// The message will come again, or lies with the dead letters, or was discarded, as asked.
    Nacked,
    /// This delivery was settled before; nothing changed.
    AlreadySettled,
    /// The group has no such delivery; nothing changed.
    NotPending,
    /// The delivery belongs to another consumer; nothing changed.
    NotOwner,
    /// The lease ended, or the assignment was taken away; the message may be with another consumer. Nothing changed.
    Stale,
}

impl Settled {
    /// Whether the settlement took effect now.
    #[must_use]
    pub const fn took_effect(self) -> bool {
        matches!(self, Self::Acked | Self::Nacked)
    }
}

/// One answer per receipt, in the order they were handed in.
///
/// That all went well is one value and no list.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.publish_batch("orders", vec![Message::text("coffee"), Message::text("tea")]).await?;
///
/// let answers = broker.read("orders", "billing", 10).await?.ack().await?;
/// assert_eq!(answers.effective(), 2);
/// assert!(answers.iter().all(|answer| answer == Settled::Acked));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlements {
    len: usize,
    usual: Settled,
    exceptions: Vec<(usize, Settled)>,
}

impl Settlements {
    /// `len` receipts that were all answered `usual`.
    #[must_use]
    pub const fn all(usual: Settled, len: usize) -> Self {
        Self {
            len,
            usual,
            exceptions: Vec::new(),
        }
    }

    /// Appends one answer.
    pub fn push(&mut self, settled: Settled) {
        if settled != self.usual {
            self.exceptions.push((self.len, settled));
        }
        self.len += 1;
    }

    /// Appends the answers of another call.
    pub fn append(&mut self, other: &Self) {
        for settled in other.iter() {
            self.push(settled);
        }
    }

    /// The answer for the receipt at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Settled> {
        if index >= self.len {
            return None;
        }
        let at = self.exceptions.binary_search_by_key(&index, |(index, _)| *index);
        Some(
            at.ok()
                .and_then(|at| self.exceptions.get(at))
                .map_or(self.usual, |(_, settled)| *settled),
        )
    }

    /// The answers in order.
    pub fn iter(&self) -> impl Iterator<Item = Settled> {
        (0..self.len).filter_map(|index| self.get(index))
    }

    /// How many receipts were answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there was nothing to settle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many settlements took effect.
    #[must_use]
    pub fn effective(&self) -> usize {
        let exceptions = self
            .exceptions
            .iter()
            .filter(|(_, settled)| settled.took_effect())
            .count();
        let usual = if self.usual.took_effect() {
            self.len - self.exceptions.len()
        } else {
            0
        };
        exceptions + usual
    }

    /// Whether every settlement took effect.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.effective() == self.len
    }
}

impl From<Settled> for Settlements {
    fn from(settled: Settled) -> Self {
        Self::all(settled, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_found_at_their_places() {
        let mut answers = Settlements::all(Settled::Acked, 2);
        answers.push(Settled::Stale);
        answers.push(Settled::Acked);
        assert_eq!(
            answers.iter().collect::<Vec<_>>(),
            [Settled::Acked, Settled::Acked, Settled::Stale, Settled::Acked]
        );
        assert_eq!(
            (answers.len(), answers.effective(), answers.is_complete()),
            (4, 3, false)
        );
        assert_eq!(answers.get(4), None);
    }
}
