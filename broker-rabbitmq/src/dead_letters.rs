//! Dead letters: a queue per group.

use std::collections::{HashSet, VecDeque};

use broker_core::base::DeadLetters;
use broker_core::{
    DeadLetter, DeadLetterPage, DeadLetterQuery, Error, ErrorKind, GroupName, MessageId, Result, Selection,
    StreamName, async_trait,
};

use crate::broker::RabbitMq;
use crate::letter::{Walked, replayed};
use crate::names;
use crate::walk::{Walk, depth};

/// How many letters are on a page that names no size.
const PAGE: usize = 100;

#[async_trait]
impl DeadLetters for RabbitMq {
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        let Some(mut walk) = Walk::start(client, stream, group).await? else {
            return Ok(DeadLetterPage::default());
        };
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        // The newest of what was seen, one more than a page has: that there is another page is known by it.
        let mut page = VecDeque::new();
        let mut reached = false;
        loop {
            let letters = walk.next(stream, group).await?;
            if letters.is_empty() {
                break;
            }
            for Walked { letter, .. } in letters {
                reached = reached
                    || query
                        .before
                        .as_ref()
                        .is_some_and(|before| is_there(before, &letter.id));
                let in_time = query.since.is_none_or(|since| letter.last_failed >= since)
                    && query.until.is_none_or(|until| letter.last_failed < until);
                if !reached && in_time {
                    page.push_back(letter);
                    if page.len() > limit + 1 {
                        page.pop_front();
                    }
                }
            }
        }
        walk.end().await?;
        let more = page.len() > limit;
        if more {
            page.pop_front();
        }
        let next = page.front().filter(|_| more).map(|letter| letter.id.clone());
        Ok(DeadLetterPage {
            letters: page.into_iter().rev().collect(),
            next,
        })
    }

    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        let Some(mut walk) = Walk::start(client, stream, group).await? else {
            return Ok(None);
        };
        let mut found = None;
        while found.is_none() {
            let letters = walk.next(stream, group).await?;
            if letters.is_empty() {
                break;
            }
            found = letters
                .into_iter()
                .map(|walked| walked.letter)
                .find(|letter| letter.id == *id);
        }
        walk.end().await?;
        Ok(found)
    }

    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        self.take(stream, group, selection, true).await
    }

    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        self.take(stream, group, selection, false).await
    }

    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        let queue = names::dead(names::queue(&client.config, stream, group)?.as_str())?;
        Ok(depth(client, &queue).await?.unwrap_or(0))
    }
}

impl RabbitMq {
    /// Takes what is selected away, after putting it back to its group where it is replayed. Answers how many.
    async fn take(
        &self,
        stream: &StreamName,
        group: &GroupName,
        selection: &Selection,
        replay: bool,
    ) -> Result<u64> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        if let Selection::Ids(ids) = selection {
            self.all_there(stream, group, ids).await?;
        }
        let Some(mut walk) = Walk::start(client, stream, group).await? else {
            return Ok(0);
        };
        let (queue, alone) = match client.config.is_log() {
            true => (client.log(stream).await?, Some(group)),
            false => (client.group(stream, group).await?, None),
        };
        // What is buried while this goes on, and the very letter that fails again, is for the next time.
        let most = depth(client, &walk.queue).await?.unwrap_or(0);
        let mut taken = 0;
        loop {
            let letters = walk.next(stream, group).await?;
            let over = letters.is_empty() || walk.seen >= most;
            let chosen: Vec<_> = letters
                .into_iter()
                .filter(|walked| is_chosen(selection, &walked.letter))
                .collect();
            if replay {
                let copies = chosen
                    .iter()
                    .map(|walked| replayed(client, &queue, alone, walked));
                client.put(copies.collect::<Result<_>>()?).await?;
            }
            for walked in &chosen {
                walk.remove(walked.tag).await?;
                taken += 1;
            }
            if over {
                break;
            }
        }
        walk.end().await?;
        Ok(taken)
    }

    async fn all_there(&self, stream: &StreamName, group: &GroupName, ids: &[MessageId]) -> Result<()> {
        let mut missing: HashSet<_> = ids.iter().collect();
        if let Some(mut walk) = Walk::start(self.client(), stream, group).await? {
            while !missing.is_empty() {
                let letters = walk.next(stream, group).await?;
                if letters.is_empty() {
                    break;
                }
                for walked in letters {
                    missing.remove(&walked.letter.id);
                }
            }
            walk.end().await?;
        }
        match missing.into_iter().next() {
            None => Ok(()),
            Some(id) => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no dead letter `{id}`; list them for their ids"),
            )),
        }
    }
}

/// Whether a page before `before` ends where `id` is: at it, or at the first later one where it is gone.
fn is_there(before: &MessageId, id: &MessageId) -> bool {
    match (before, id) {
        (MessageId::Entry { ms, .. }, MessageId::Entry { ms: other, .. }) => before == id || other > ms,
        _ => before == id,
    }
}

fn is_chosen(selection: &Selection, letter: &DeadLetter) -> bool {
    match selection {
        Selection::All => true,
        Selection::Ids(ids) => ids.contains(&letter.id),
        Selection::Before(time) => letter.last_failed < *time,
    }
}
