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
    Lost,
}

/// Takes in what comes by the claim of this epoch.
pub(super) async fn run(group: Weak<Group>, epoch: u32) {
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
            let (any, goes_on) = group.arrive(&mut state);
            let has_token = state.claim.as_ref().is_some_and(|claim| claim.token().is_some());
            match (goes_on, any) {
                (false, _) => Poll::Ready(Woken::Lost),
                (true, _) if has_token && state.session.is_none() => Poll::Ready(Woken::Token),
                (true, true) => Poll::Ready(Woken::Arrived),
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
            Ok(Woken::Lost) => {
                group.lose(Some(epoch));
                return;
            }
            Err(_) => {
                group.report_if_due();
                if group.is_idle()
                    && let Some(client) = group.client.upgrade()
                {
                    // Apart from this task, which ends with the claim.
                    let group = Arc::clone(&group);
                    tokio::spawn(async move { group.finish(&client).await });
                    return;
                }
            }
        }
    }
}

impl Group {
    /// Takes in what has come. Answers whether there were any messages, and whether the sending goes on.
    pub(super) fn arrive(&self, state: &mut State) -> (bool, bool) {
        let State {
            claim,
            session,
            waker,
            ..
        } = state;
        let Some(claim) = claim else {
            return (false, false);
        };
        let latest = |claim: &Claim| claim.token().map(|token| (token.owner, token.sequence));
        let before = latest(claim);
        let goes_on = claim.drain(waker);
        if latest(claim) != before {
            self.written.notify_waiters();
        }
        match session {
            Some(session) => {
                let (any, more) = session.arrive(waker, &self.group);
                (any, more && goes_on)
            }
            None => (false, goes_on),
        }
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
