//! Giving way to other tasks.

use std::task::Poll;

/// Lets others run, and goes on behind them.
///
/// Unlike [`tokio::task::yield_now`] it goes back to the run queue at once, where an idle worker finds it: a consumer
/// that this task woke waits for this very worker, and the two go on side by side instead of in turn.
pub(super) async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
