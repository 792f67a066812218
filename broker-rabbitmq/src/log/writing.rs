//! Writing tokens: what is answered for is in one, and one is written for all who wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Message, Result, Retry};
use lapin::types::ShortString;
use tokio::time::Instant;

use super::group::Group;
use super::progress::Progress;
use super::report::{self, Report};
use crate::client::{Client, lock};
use crate::codec;
use crate::meta::Meta;
use crate::names;
use crate::sender::Outgoing;
use crate::told::gone;

/// How often others are told of a group that goes on.
const REPORTS: Duration = Duration::from_secs(1);

/// How often a token is looked for that nobody tells of.
const LOOK: Duration = Duration::from_millis(100);

/// How often a token is written where nothing changes: the server takes who holds a message for half an hour for stuck.
const RENEWALS: Duration = Duration::from_secs(300);

/// Writes a token, and what others may know where it is time for that; both are stored when this returns.
pub(super) async fn put(
    client: &Client,
    queue: &ShortString,
    token: &Progress,
    report: Option<&Report>,
) -> Result<()> {
    let mut messages = vec![outgoing(client, queue.clone(), token.to_text())?];
    if let Some(report) = report {
        let beside = report::queue(client, queue).await?;
        messages.push(outgoing(client, beside, report.to_text())?);
    }
    client.put(messages).await
}

/// A text as a message for a queue.
pub(super) fn outgoing(client: &Client, queue: ShortString, text: String) -> Result<Outgoing> {
    let (message, meta) = (Message::text(text), Meta::new(client.id()));
    let (properties, table) = codec::encode(&message, &meta, client.config.persistent)?;
    Ok(Outgoing {
        id: meta.id,
        exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
        routing_key: queue,
        payload: message.payload().clone(),
        properties: codec::finish(properties, table),
    })
}

/// A change of what a group knows, which a token has to tell before it is answered for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) owner: u64,
    pub(super) version: u64,
}

impl Group {
    /// The latest change.
    pub(super) fn change(&self) -> Option<Change> {
        let state = self.state();
        let session = state.session.as_ref()?;
        Some(Change {
            owner: session.owner,
            version: session.version,
        })
    }

    /// Has a change written down. An error says that nobody knows whether it is.
    pub(super) async fn write_down(&self, client: &Client, change: Change) -> Result<()> {
        self.write(client, Some(change), false).await
    }

    /// Has all written down, and tells others of it.
    pub(super) async fn write_last(&self, client: &Client) -> Result<()> {
        self.write(client, None, true).await
    }

    async fn write(&self, client: &Client, change: Option<Change>, is_last: bool) -> Result<()> {
        let _writing = self.writing.lock().await;
        // What changes from here on is for the next one.
        self.is_to_be_written.store(false, Ordering::Release);
        let is_due = lock(&self.reported).is_none_or(|reported| reported.elapsed() >= REPORTS);
        let (token, version, report) = {
            let mut state = self.state();
            let members = (is_due || is_last).then(|| state.members());
            let session = state.live().ok_or_else(gone)?;
            if change.is_some_and(|change| change.owner != session.owner) {
                return Err(gone());
            }
            let wanted = change.map_or(session.version, |change| change.version);
            if session.saved >= wanted && !is_last {
                return Ok(());
            }
            let token = session.next_token();
            let report = members.map(|members| Report::with(&token, &members));
            (token, session.version, report)
        };
        put(client, &self.queue, &token, report.as_ref()).await?;
        self.came_back(client, &token).await?;
        self.is_to_be_reported.store(report.is_none(), Ordering::Release);
        if report.is_some() {
            *lock(&self.reported) = Some(Instant::now());
        }
        if let Some(session) = &mut self.state().session
            && session.owner == token.owner
        {
            session.saved = session.saved.max(version);
        }
        Ok(())
    }

    /// Waits until a token came back: nobody else has the group then, and nobody is going to read an older one.
    async fn came_back(&self, client: &Client, token: &Progress) -> Result<()> {
        let limit = client.context.config.operation_timeout;
        let until = Instant::now() + limit;
        loop {
            let mut written = std::pin::pin!(self.written.notified());
            written.as_mut().enable();
            {
                let mut state = self.state();
                let waker = state.waker.clone();
                let claim = state.claim.as_mut().filter(|claim| claim.is_up());
                let claim = claim.ok_or_else(gone)?;
                let goes_on = claim.drain(&waker);
                if claim.has(token.owner, token.sequence) {
                    return Ok(());
                }
                if !goes_on {
                    return Err(gone());
                }
            }
            let _ = tokio::time::timeout(LOOK, written).await;
            if Instant::now() >= until {
                let line =
                    format!("a group's position did not come back within {limit:?} (operation_timeout)");
                return Err(Error::new(ErrorKind::Timeout, line).retry(Retry::Safe));
            }
        }
    }

    /// Has it written down soon, by one task for all who ask meanwhile.
    pub(super) fn write_down_soon(self: &Arc<Self>) {
        let (Some(client), Some(change)) = (self.client.upgrade(), self.change()) else {
            return;
        };
        if !self.is_to_be_written.swap(true, Ordering::AcqRel) {
            let group = Arc::clone(self);
            tokio::spawn(async move {
                // The next one tries again.
                let _ = group.write_down(&client, change).await;
            });
        }
    }

    /// Tells others what they were not told yet, if it is time.
    pub(super) fn report_if_due(self: &Arc<Self>) {
        let since = lock(&self.reported).map_or(Duration::MAX, |reported| reported.elapsed());
        let is_told = since < REPORTS || !self.is_to_be_reported.swap(false, Ordering::AcqRel);
        let is_owner = self.state().session.is_some();
        if !is_owner || (is_told && since < RENEWALS) {
            return;
        }
        if let Some(client) = self.client.upgrade()
            && !self.is_to_be_written.swap(true, Ordering::AcqRel)
        {
            let group = Arc::clone(self);
            tokio::spawn(async move {
                // The next token tells them.
                let _ = group.write_last(&client).await;
            });
        }
    }
}
