//! Messages that failed for good.

use std::time::SystemTime;

use super::{ConsumerName, Failure, GroupName, Message, MessageId, StreamName};

/// A message that a group gave up on, with the story of its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The entry's own id, which inspect, replay and purge go by.
    pub id: MessageId,
    /// The id the message had on its stream.
    pub original_id: MessageId,
    /// The stream it came from.
    pub stream: StreamName,
    /// The group that gave up.
    pub group: GroupName,
    /// The partition it came from.
    pub partition: u32,
    /// Payload, key and headers as they were published.
    pub message: Message,
    /// The last failure.
    pub failure: Failure,
    /// How often it was delivered.
    pub attempts: u32,
    /// When it failed for the first time.
    pub first_failed: SystemTime,
    /// When it failed for the last time.
    pub last_failed: SystemTime,
    /// The consumer that saw the last failure.
    pub consumer: ConsumerName,
}

/// Which dead letters to list; the newest come first.
///
/// ```
/// use broker::DeadLetterQuery;
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let dead = broker.dead_letters("orders", "billing")?;
/// let mut query = DeadLetterQuery { limit: 100, ..Default::default() };
/// loop {
///     let page = dead.list(query.clone()).await?;
///     for letter in &page.letters {
///         println!("{} after {} attempts: {}", letter.id, letter.attempts, letter.failure.reason);
///     }
///     let Some(next) = page.next else { break };
///     query.before = Some(next);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// At most this many on one page; zero means the broker's own page size.
    pub limit: usize,
    /// Only entries older than this one: [`DeadLetterPage::next`] of the page before.
    pub before: Option<MessageId>,
    /// Only entries that failed at this time or later.
    pub since: Option<SystemTime>,
    /// Only entries that failed before this time.
    pub until: Option<SystemTime>,
}

/// One page of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The entries, newest first.
    pub letters: Vec<DeadLetter>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<MessageId>,
}

/// Which dead letters to replay or purge.
///
/// ```
/// use broker::Selection;
/// use broker::prelude::*;
/// use std::time::{Duration, SystemTime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// let dead = broker.dead_letters("orders", "billing")?;
/// let week_ago = SystemTime::now() - Duration::from_secs(7 * 86_400);
/// assert_eq!(dead.purge(&Selection::Before(week_ago)).await?, 0); // none is that old
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// These entries.
    Ids(Vec<MessageId>),
    /// Those whose last failure is before this time.
    Before(SystemTime),
}
