//! Giving back what nobody has seen.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::lane::Lane;
use crate::reader::{Hands, Reader};

/// After which share of its lease an entry that nobody has asked for is given back.
const UNSEEN_SHARE: u32 = 4;

/// After how long it is given back at the latest.
const UNSEEN_MOST: Duration = Duration::from_secs(5);

/// How often a blocked read is woken until it has ended.
const WAKE_EVERY: Duration = Duration::from_millis(20);

impl Reader {
    /// Empties the hands of a reader that nobody reads from any more.
    pub(crate) fn tidy(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let (hands, mut present) = (Arc::clone(&self.hands), self.present.subscribe());
        let reader = Arc::downgrade(self);
        async move {
            loop {
                let mut closing = std::pin::pin!(hands.client.closing.notified());
                closing.as_mut().enable();
                let mut shorter = std::pin::pin!(hands.group.shorter.notified());
                shorter.as_mut().enable();
                if hands.client.check_open().is_err() {
                    return;
                }
                let patience = hands.patience();
                tokio::select! {
                    () = closing => return,
                    _ = present.changed() => return,
                    () = shorter => continue,
                    () = tokio::time::sleep(patience) => {}
                }
                let Some(reader) = reader.upgrade() else {
                    return;
                };
                // Somebody reads, and takes what is here.
                let Ok(mut lane) = reader.lane.try_lock() else {
                    continue;
                };
                if lane.unattended().is_some_and(|since| since >= patience) {
                    empty(&hands, &mut lane).await;
                }
                if lane.is_empty() {
                    lane.tidied = false;
                    return;
                }
            }
        }
    }
}

impl Hands {
    /// For how long what was read may lie here unseen: long before its lease ends, others get it.
    fn patience(&self) -> Duration {
        (self.lease() / UNSEEN_SHARE).clamp(WAKE_EVERY, UNSEEN_MOST)
    }
}

/// Ends what is under way and gives back what nobody has seen.
pub(crate) async fn empty(hands: &Hands, lane: &mut Lane) {
    while let Some(reading) = &mut lane.reading {
        hands.client.unblock(&[hands.blocked.load(Relaxed)]).await;
        if let Ok(answer) = tokio::time::timeout(WAKE_EVERY, reading).await {
            lane.reading = None;
            if let Ok(arrived) = answer {
                lane.keep(arrived);
            }
        }
    }
    if let Some(claiming) = lane.claiming.take()
        && let Ok(claimed) = claiming.await
    {
        lane.keep_claimed(claimed);
    }
    for arrived in lane.take_all() {
        if let Err(error) = hands.give_back(&arrived).await {
            // It comes again when the lease ends.
            tracing::debug!(%error, "entries that nobody has seen were not given back");
        }
    }
}
