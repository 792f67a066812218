//! Takes in what the server sends, for as long as a session lives.

use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use super::group::{Group, State};
use super::record;

/// How often it is looked whether anybody reads.
const TICK: Duration = Duration::from_millis(100);

/// What the pump is woken for.
enum Woken {
    Arrived,
    WantsToKnow,
    Lost,
}

/// Takes in what comes by the session of this epoch.
pub(super) async fn run(group: Weak<Group>, epoch: u32) {
    loop {
        let arrival = std::future::poll_fn(|context| {
            let Some(group) = group.upgrade() else {
                return Poll::Ready(Woken::Lost);
            };
            let mut state = group.state();
            let Some(session) = state.session.as_mut().filter(|session| session.epoch == epoch) else {
                return Poll::Ready(Woken::Lost);
            };
            session.wakes(context.waker());
            let goes_on = session.drain();
            if session.wants_to_know() {
                return Poll::Ready(Woken::WantsToKnow);
            }
            let any = group.arrive(&mut state);
            match (goes_on, any) {
                (false, _) => Poll::Ready(Woken::Lost),
                (true, true) => Poll::Ready(Woken::Arrived),
                (true, false) => Poll::Pending,
            }
        });
        let woken = tokio::time::timeout(TICK, arrival).await;
        let Some(group) = group.upgrade() else { return };
        match woken {
            Ok(Woken::Arrived) => group.arrived.notify_waiters(),
            Ok(Woken::WantsToKnow) => {
                if !group.learn(epoch).await {
                    group.lose(Some(epoch));
                    return;
                }
            }
            Ok(Woken::Lost) => {
                group.lose(Some(epoch));
                return;
            }
            Err(_) => {
                if group.is_idle()
                    && let Some(client) = group.client.upgrade()
                {
                    // Apart from this task, which ends with the session.
                    let group = Arc::clone(&group);
                    tokio::spawn(async move { group.finish(&client).await });
                    return;
                }
            }
        }
    }
}

impl Group {
    /// Takes in what has come. Answers whether there was any.
    pub(super) fn arrive(&self, state: &mut State) -> bool {
        let State { session, notes, .. } = state;
        session
            .as_mut()
            .is_some_and(|session| session.arrive(notes, &self.memory))
    }

    /// Reads what earlier consumers wrote down. Answers whether that is known now.
    async fn learn(&self, epoch: u32) -> bool {
        let Some(client) = self.client.upgrade() else {
            return false;
        };
        let limit = client.context.config.operation_timeout;
        let learning = async {
            let (written, is_whole) = record::read(&client, &self.queue).await?;
            if is_whole {
                // From now on it says nothing of what is handed out.
                record::write(&client, &self.queue, &written, false).await?;
            }
            Ok::<_, broker_core::Error>((written, is_whole))
        };
        let Ok(Ok((written, is_whole))) = tokio::time::timeout(limit, learning).await else {
            return false;
        };
        let mut state = self.state();
        state.notes.merge(&written);
        if let Some(session) = state.session.as_mut().filter(|session| session.epoch == epoch) {
            (session.is_informed, session.is_whole) = (true, is_whole);
        }
        true
    }
}
