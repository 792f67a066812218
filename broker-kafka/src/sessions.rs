//! The groups that this broker reads for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use broker_core::{GroupName, Result, StreamName};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::client::{Client, lock};
use crate::orders::Order;
use crate::poller;
use crate::session::Session;

type Place = Arc<tokio::sync::Mutex<Option<Arc<Session>>>>;

/// The groups that this broker reads for, each with one membership.
#[derive(Default)]
pub(crate) struct Sessions {
    places: Mutex<HashMap<(StreamName, GroupName), Place>>,
    /// Those that have not ended, to end them.
    live: Mutex<Vec<std::sync::Weak<Session>>>,
}

impl Client {
    /// The membership of the group, which is entered if it is not there.
    pub(crate) async fn session(
        self: &Arc<Self>,
        stream: &StreamName,
        group: &GroupName,
        start: &broker_core::StartPosition,
    ) -> Result<Arc<Session>> {
        let place = self.sessions.place(stream, group);
        let mut place = place.lock().await;
        self.check_open()?;
        if let Some(session) = place.as_ref().filter(|session| !session.has_ended()) {
            return Ok(Arc::clone(session));
        }
        let mut silent = None;
        if let Some(before) = place.take() {
            silent = before.state().silent;
            // It is about to leave: joining beside it would only move the partitions twice.
            let _ = tokio::time::timeout(self.patience(), stop(&before)).await;
        }
        let topic = self.topic(stream).await?;
        let places = self.places_to_read(stream, group, &topic).await?;
        let session = Arc::new(Session::new(self, stream, group, places));
        // Health says so until something comes.
        session.state().silent = silent;
        poller::start(self, &session, start).await?;
        {
            let mut live = lock(&self.sessions.live);
            live.retain(|session| session.strong_count() > 0);
            live.push(Arc::downgrade(&session));
        }
        *place = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The membership of the group, if it is there.
    pub(crate) async fn present_session(
        &self,
        stream: &StreamName,
        group: &GroupName,
    ) -> Option<Arc<Session>> {
        let place = self.sessions.place(stream, group);
        let place = place.lock().await;
        place.as_ref().filter(|session| !session.has_ended()).cloned()
    }
}

impl Sessions {
    fn place(&self, stream: &StreamName, group: &GroupName) -> Place {
        let mut places = lock(&self.places);
        // Places of groups that were left are not kept for ever.
        if places.len() > 1024 {
            places.retain(|_, place| {
                Arc::strong_count(place) > 1
                    || place
                        .try_lock()
                        .is_ok_and(|place| place.as_ref().is_some_and(|session| !session.has_ended()))
            });
        }
        Arc::clone(places.entry((stream.clone(), group.clone())).or_default())
    }

    fn live(&self) -> Vec<Arc<Session>> {
        let live = lock(&self.live);
        live.iter()
            .filter_map(std::sync::Weak::upgrade)
            .filter(|session| !session.has_ended())
            .collect()
    }

    /// The groups that are read now.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.live()
    }

    /// Leaves the stream's groups.
    pub(crate) async fn leave_stream(&self, stream: &StreamName) {
        let own: Vec<_> = self
            .live()
            .into_iter()
            .filter(|session| session.stream == *stream)
            .collect();
        for session in own {
            let _ = stop(&session).await;
        }
    }

    /// Leaves all groups, until `deadline` at most.
    pub(crate) async fn close(&self, deadline: Instant) {
        let waits: Vec<_> = self.live().iter().map(|session| stop(session)).collect();
        for wait in waits {
            if tokio::time::timeout_at(deadline, wait).await.is_err() {
                tracing::warn!("a group was not left in time (close_timeout)");
            }
        }
        lock(&self.places).clear();
    }

    /// Tells all pollers to end, and waits for none.
    pub(crate) fn abandon(&self) {
        for session in self.live() {
            drop(stop(&session));
        }
    }
}

/// Has a session commit and leave; the answer tells when it has.
pub(crate) fn stop(session: &Session) -> oneshot::Receiver<()> {
    let (done, wait) = oneshot::channel();
    session.order(Order::Stop(done));
    wait
}
