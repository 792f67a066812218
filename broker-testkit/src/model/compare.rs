//! What the broker shows, compared with the reference.

use broker_core::{DeadLetterQuery, ErrorKind, Message};

use super::play::{Play, REASON, told};
use super::reference::Judgement;
use crate::trial::POLL;

impl Play<'_> {
    /// Compares a group's dead letters, and learns their ids.
    pub(super) async fn compare_dead(&mut self, group: usize) -> Judgement {
        let queue = self
            .member(0)?
            .dead_letters(&self.stream, self.group(group)?)
            .map_err(told)?;
        let query = DeadLetterQuery {
            limit: 10_000,
            ..DeadLetterQuery::default()
        };
        let mut letters = queue.list(query).await.map_err(told)?.letters;
        letters.reverse();
        let depth = queue.depth().await.map_err(told)?;
        let Some(expected) = self.reference.dead(group) else {
            return Ok(());
        };
        same("the depth of the dead letters", depth, expected.len() as u64)?;
        same("listed dead letters", letters.len(), expected.len())?;
        for (letter, expected) in letters.iter().zip(expected.iter_mut()) {
            same(
                "a dead letter's payload",
                number_of(&letter.message)?,
                expected.number,
            )?;
            same("a dead letter's attempts", letter.attempts, expected.attempts)?;
            same("a dead letter's reason", letter.failure.reason.as_str(), REASON)?;
            let known = expected.id.get_or_insert_with(|| letter.id.clone());
            same("a dead letter's id", &letter.id, known)?;
        }
        Ok(())
    }

    /// Compares how many messages a group has to handle still, where the broker shows that.
    pub(super) async fn compare_sums(&mut self, group: usize) -> Judgement {
        if !self.shows_groups || !self.reference.exists(group) {
            return Ok(());
        }
        let until = self.now() + self.eventual;
        loop {
            let shown = match self.member(0)?.groups(&self.stream).await {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    self.shows_groups = false;
                    return Ok(());
                }
                shown => shown.map_err(told)?,
            };
            let name = self.group(group)?;
            let sum = shown
                .iter()
                .find(|info| info.group.as_str() == name)
                .map(|info| info.pending + info.lag);
            let expected = Some(self.reference.undone(group));
            if sum == expected {
                return Ok(());
            }
            if self.now() > until {
                return same("pending and lag of a group", sum, expected);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: T, expected: T) -> Judgement {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {actual:?}"))
}

pub(super) fn number_of(message: &Message) -> Judgement<usize> {
    let text = String::from_utf8_lossy(message.payload());
    text.parse()
        .map_err(|_| format!("a message with the payload {text:?} was never published"))
}
