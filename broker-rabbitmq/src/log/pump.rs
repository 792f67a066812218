//! Takes in what the server sends, for as long as a claim lives.

use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use broker_core::BrokerEvent;

use super::claim::Claim;
use super::group::{Group, State};

/// How often it is looked whether anybody reads.
const TICK: Duration = Duration::from_millis(100);

/// What the pump is woken for.
enum Woken {
    Arrived,
    Token,
    /// The reader's channel is gone.
    Unread,
    Lost,
}

/// Takes in what comes by the claim of this epoch.
pub(super) async fn run(group: Weak<Group>, epoch: u32) {
    let mut is_leaving = false;
    loop {
        let arrival = std::future::poll_fn(|context| {
            let Some(group) = group.upgrade() else {
                return Poll::Ready(Woken::Lost);
            };
            let mut state = group.state();
            if state.claim.as_ref().is_none_or(|claim| claim.epoch != epoch) {
                return Poll::Ready(Woken::Lost);
            }
            state.waker.clone_from(context.waker());
            let Some((any, reads)) = group.arrive(&mut state) else {
                return Poll::Ready(Woken::Lost);
            };
            let has_token = state.claim.as_ref().is_some_and(|claim| claim.token().is_some());
            match (reads, any) {
                _ if has_token && state.session.is_none() => Poll::Ready(Woken::Token),
                (_, true) => Poll::Ready(Woken::Arrived),
                (false, false) => Poll::Ready(Woken::Unread),
                (true, false) => Poll::Pending,
            }
        });
        let woken = tokio::time::timeout(TICK, arrival).await;
        let Some(group) = group.upgrade() else { return };
        match woken {
            Ok(Woken::Arrived) => {
                group.tell_of_loss();
                group.arrived.notify_waiters();
            }
            Ok(Woken::Token) => {
                let Some(client) = group.client.upgrade() else {
                    return;
                };
                let limit = client.context.config.operation_timeout;
                let active = tokio::time::timeout(limit, group.activate(&client, epoch)).await;
                if !matches!(active, Ok(Ok(()))) {
                    group.lose(Some(epoch));
                    return;
                }
            }
            Ok(Woken::Unread) => {
                let Some(client) = group.client.upgrade() else {
                    return;
                };
                let limit = client.context.config.operation_timeout;
                let goes_on = tokio::time::timeout(limit, group.read_on(&client)).await;
                if !matches!(goes_on, Ok(Ok(()))) {
                    group.lose(Some(epoch));
                    return;
                }
            }
            Ok(Woken::Lost) => {
                group.lose(Some(epoch));
                return;
            }
            Err(_) => {
                group.report_if_due();
                if let Some(session) = &mut group.state().session {
                    session.give_all_credit();
                }
                if !is_leaving
                    && group.is_idle()
                    && let Some(client) = group.client.upgrade()
                {
                    is_leaving = true;
                    // Apart from this task, which takes in the last token and ends with the claim.
                    let group = Arc::clone(&group);
                    tokio::spawn(async move { group.finish(&client).await });
                }
            }
        }
    }
}

impl Group {
    /// Takes in what has come. Answers whether there were any messages, and whether there are going to be more; `None` once
    /// the claim is lost.
    pub(super) fn arrive(&self, state: &mut State) -> Option<(bool, bool)> {
        let State {
            claim,
            session,
            waker,
            ..
        } = state;
        let claim = claim.as_mut()?;
        let latest = |claim: &Claim| claim.token().map(|token| (token.owner, token.sequence));
        let before = latest(claim);
        let goes_on = claim.drain(waker);
        if latest(claim) != before {
            self.written.notify_waiters();
        }
        let arrived = session.as_mut().map(|session| session.arrive(waker, &self.group));
        goes_on.then(|| arrived.unwrap_or((false, true)))
    }

    /// Tells of messages that were gone before the group had them.
    fn tell_of_loss(self: &Arc<Self>) {
        let missed = {
            let mut state = self.state();
            let session = state.session.as_mut();
            session.map_or(Vec::new(), |session| std::mem::take(&mut session.missed))
        };
        if let (false, Some(client)) = (missed.is_empty(), self.client.upgrade()) {
            let group = Arc::clone(self);
            tokio::spawn(async move {
                let start = client.log_start(&group.stream).await.unwrap_or(0);
                let gone = missed.iter().filter(|(from, _)| *from < start);
                let count = gone.map(|(_, count)| count).sum();
                if count > 0 {
                    client.context.events.send(BrokerEvent::MessagesLost {
                        stream: group.stream.clone(),
                        group: group.group.clone(),
                        count,
                    });
                }
            });
        }
    }
}
