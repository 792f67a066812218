//! How a process comes to read for a group, and how it gives that up.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{BrokerEvent, Error, ErrorKind, MessageId, Result, Retry};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::attached::Place;
use super::claim::Claim;
use super::group::{Group, epoch};
use super::progress::Progress;
use super::session::Session;
use super::{directory, pump, report, writing};
use crate::client::{Client, lock};
use crate::names;
use crate::told::gone;
use crate::walk::depth;

/// How often a log is looked at before it is taken for another one than the group knows.
const LOOKS: u32 = 3;

impl Client {
    /// Makes a group's queue and its first token. Answers whether it was not there.
    pub(super) async fn make_group(&self, group: &Group) -> Result<bool> {
        if self.is_known(&group.queue) {
            return Ok(false);
        }
        let log = self.log(&group.stream).await?;
        let is_new = !self.is_made(&group.queue).await?;
        let first = match is_new {
            true => Some(self.resolve(&log, &group.start).await?),
            false => None,
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        self.beside(&group.queue, arguments).await?;
        if let Some(first) = first {
            directory::add(self, &group.stream, &group.group).await?;
            // A second one, of whoever makes it at the same time, says no more than this one.
            writing::put(self, &group.queue, &first, None).await?;
            report::write(self, &group.queue, &report::Report::of(&first)).await?;
        }
        Ok(is_new)
    }

    /// Whether a group was made and has its token: the queue of its reports is made last, and removed first.
    pub(super) async fn is_made(&self, queue: &ShortString) -> Result<bool> {
        let (reports, queue) = (names::state(queue.as_str())?, queue);
        Ok(depth(self, &reports).await?.is_some() && depth(self, queue).await?.is_some())
    }
}

impl Group {
    /// Has a claim, which is staked if there is none; it may still wait for the token.
    pub(super) async fn open(self: &Arc<Self>) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let client = self.client()?;
        let (group, limit) = (Arc::clone(self), client.context.config.operation_timeout);
        // In a task of its own: a dropped read must not leave a claim that nobody reads by.
        let opening = tokio::spawn(async move {
            let _turn = group.turn.lock().await;
            if group.is_open() {
                return Ok(());
            }
            client.check_open()?;
            match tokio::time::timeout(limit, group.begin(&client)).await {
                Ok(begun) => begun,
                Err(_) => Err(silent(limit)),
            }
        });
        opening.await.unwrap_or_else(|_| Err(gone()))
    }

    fn is_open(&self) -> bool {
        let state = self.state();
        let is_up = state.claim.as_ref().is_some_and(Claim::is_up);
        let session = state.session.as_ref();
        is_up && session.is_none_or(|session| !session.is_ending)
    }

    async fn begin(self: &Arc<Self>, client: &Arc<Client>) -> Result<()> {
        self.lose(None);
        let was_open = !self.state().past.is_empty();
        if was_open && !client.is_made(&self.queue).await? {
            client.known.forget_queue(self.queue.as_str());
            self.state().past.clear();
            client.make_group(self).await?;
            client.context.events.send(BrokerEvent::GroupRecreated {
                stream: self.stream.clone(),
                group: self.group.clone(),
                position: None,
            });
        } else {
            client.make_group(self).await?;
        }
        let staked = Claim::stake(client, &self.queue, epoch()).await;
        let mut claim = staked.inspect_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                // The next try makes it again.
                client.known.forget_queue(self.queue.as_str());
            }
        })?;
        let is_given = claim.is_given().await?;
        let claimed = claim.epoch;
        self.state().claim = Some(claim);
        if is_given && let Err(error) = self.activate(client, claimed).await {
            self.lose(Some(claimed));
            return Err(error);
        }
        let pumping = tokio::spawn(pump::run(Arc::downgrade(self), claimed));
        if let Some(before) = lock(&self.pump).replace(pumping.abort_handle()) {
            before.abort();
        }
        Ok(())
    }

    /// The token came: reads on from where it says.
    pub(super) async fn activate(self: &Arc<Self>, client: &Arc<Client>, claimed: u32) -> Result<()> {
        // There may be two tokens, where the owner before was lost between writing one and removing the other.
        let all_came = {
            let state = self.state();
            let claim = state.claim.as_ref().filter(|claim| claim.epoch == claimed);
            claim.ok_or_else(gone)?.all_came()
        };
        all_came.await?;
        let progress = {
            let mut state = self.state();
            let claim = state.claim.as_mut().filter(|claim| claim.epoch == claimed);
            let claim = claim.ok_or_else(gone)?;
            if !claim.drain(std::task::Waker::noop()) {
                return Err(gone());
            }
            let token = claim.token().cloned().ok_or_else(gone)?;
            // Where nobody had the group meanwhile, more is known here than was written.
            let own = state.past.back().filter(|past| past.is_latest(&token));
            own.map_or(token, |past| past.token.clone())
        };
        let log = client.log(&self.stream).await?;
        let progress = self.check_log(client, &log, progress).await?;
        let place = Place::Offset(progress.low);
        let reader = match client.attach(&log, place, client.config.prefetch_count).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                client.known.forget_stream(&self.stream);
                return Err(error);
            }
            reader => reader?,
        };
        let session = Session::new(epoch(), &progress, reader);
        let mut state = self.state();
        let claim = state.claim.as_mut().filter(|claim| claim.epoch == claimed);
        claim.ok_or_else(gone)?.writes_as(session.owner);
        state.session = Some(session);
        drop(state);
        self.write_down_soon();
        self.arrived.notify_waiters();
        Ok(())
    }

    /// Reads on where the reader's channel was lost, and the token was not.
    pub(super) async fn read_on(&self, client: &Client) -> Result<()> {
        let (epoch, fetched) = {
            let state = self.state();
            let session = state.session.as_ref().ok_or_else(gone)?;
            (session.epoch, session.fetched)
        };
        let log = client.log(&self.stream).await?;
        let place = Place::Offset(fetched);
        let reader = client.attach(&log, place, client.config.prefetch_count).await?;
        let mut state = self.state();
        let session = state.session.as_mut().filter(|session| session.epoch == epoch);
        session.ok_or_else(gone)?.read_by(reader);
        Ok(())
    }

    /// A log that ends before the group's position is another one, made anew: the group begins with it.
    async fn check_log(&self, client: &Client, log: &ShortString, progress: Progress) -> Result<Progress> {
        let next = progress.next();
        for _ in 0..LOOKS {
            if next == 0 || client.log_end(log).await? >= next {
                return Ok(progress);
            }
        }
        client.context.events.send(BrokerEvent::GroupRecreated {
            stream: self.stream.clone(),
            group: self.group.clone(),
            position: Some(MessageId::Offset {
                partition: 0,
                offset: 0,
            }),
        });
        Ok(Progress {
            generation: progress.generation,
            sequence: progress.sequence,
            owner: progress.owner,
            ..Progress::starting(0)
        })
    }

    /// Gives the group to whoever is next, after what is known of it is written down.
    pub(super) async fn finish(self: &Arc<Self>, client: &Client) {
        let _turn = self.turn.lock().await;
        let limit = client.context.config.operation_timeout;
        let is_owner = {
            let mut state = self.state();
            match state.live() {
                Some(session) => {
                    session.is_ending = true;
                    true
                }
                None => false,
            }
        };
        if is_owner {
            // What can't be written is known as of the token before.
            let _ = tokio::time::timeout(limit, self.write_last(client)).await;
        }
        let claim = {
            let mut state = self.state();
            let claim = state.claim.take();
            if let Some(session) = state.session.take() {
                state.remember(session);
            }
            claim
        };
        if let Some(claim) = claim {
            let _ = tokio::time::timeout(limit, claim.leave()).await;
        }
        self.arrived.notify_waiters();
        self.written.notify_waiters();
    }
}

fn silent(waited: Duration) -> Error {
    let line = format!("the server did not answer a reader within {waited:?} (operation_timeout)");
    Error::new(ErrorKind::Timeout, line).retry(Retry::Safe)
}
