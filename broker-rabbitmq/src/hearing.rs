//! What a reader of its own hears from the server, and since when it hears nothing.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use broker_core::StreamName;
use futures_util::Stream;
use lapin::message::Delivery;
use tokio::time::Instant;

use crate::config::QueueType;
use crate::entry::Entry;

/// What a reader of its own hears from the server, and since when it hears nothing.
pub(crate) struct Hearing<S> {
    deliveries: Option<S>,
    came: Vec<(StreamName, Entry)>,
    lost: Option<(Instant, SystemTime)>,
}

/// A time in which nothing was heard.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) since: SystemTime,
    pub(crate) lasted: Duration,
}

impl<S> Default for Hearing<S> {
    fn default() -> Self {
        Self {
            deliveries: None,
            came: Vec::new(),
            lost: None,
        }
    }
}

impl<S: Stream<Item = lapin::Result<Delivery>> + Unpin> Hearing<S> {
    /// Whether it hears something, or has not told all that it heard.
    pub(crate) fn is_open(&self) -> bool {
        self.deliveries.is_some() || !self.came.is_empty()
    }

    /// Hears these from now on. Answers the gap before them, if something was heard before that.
    pub(crate) fn open(&mut self, deliveries: S) -> Option<Gap> {
        self.deliveries = Some(deliveries);
        let (lost, since) = self.lost.take()?;
        let lasted = lost.elapsed();
        Some(Gap { since, lasted })
    }

    /// Waits until something has come, or the server sends no more.
    pub(crate) fn poll(
        &mut self,
        max: usize,
        stream_of: impl Fn(&Delivery) -> Option<StreamName>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        while self.came.len() < max {
            let Some(deliveries) = &mut self.deliveries else {
                return Poll::Ready(());
            };
            match Pin::new(deliveries).poll_next(context) {
                Poll::Ready(Some(Ok(delivery))) => {
                    if let Some(stream) = stream_of(&delivery) {
                        self.came.push((stream, Entry::new(delivery, QueueType::Classic)));
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    self.deliveries = None;
                    self.lost = Some((Instant::now(), SystemTime::now()));
                }
                Poll::Pending if self.came.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    }

    /// What has come; `None` where nothing has, and the server sends no more.
    pub(crate) fn take(&mut self) -> Option<Vec<(StreamName, Entry)>> {
        self.is_open().then(|| std::mem::take(&mut self.came))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, BoxStream};
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    type Deliveries = BoxStream<'static, lapin::Result<Delivery>>;

    fn delivery(tag: u64) -> lapin::Result<Delivery> {
        Ok(Delivery::mock(tag, "".into(), "orders".into(), false, Vec::new()))
    }

    /// The tags of what one read gets.
    fn read(hearing: &mut Hearing<Deliveries>, max: usize) -> Option<Vec<u64>> {
        let orders = |_: &Delivery| StreamName::new("orders").ok();
        let polled = std::future::poll_fn(|context| hearing.poll(max, orders, context));
        let _ = polled.now_or_never();
        let came = hearing.take()?;
        Some(came.iter().map(|(_, entry)| entry.tag).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_the_end_is_given_first_and_the_gap_is_told_once() {
        let mut hearing = Hearing::default();
        let sent = stream::iter([1, 2, 3].map(delivery)).boxed();
        assert!(hearing.open(sent).is_none(), "nothing was missed yet");
        assert_eq!(read(&mut hearing, 2), Some(vec![1, 2]));
        assert!(hearing.is_open(), "it has more to tell");
        assert_eq!(read(&mut hearing, 2), Some(vec![3]));
        assert_eq!(read(&mut hearing, 2), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(read(&mut hearing, 2), None);
        let goes_on = || stream::iter([delivery(1)]).chain(stream::pending()).boxed();
        let gap = hearing.open(goes_on()).unwrap();
        assert_eq!(gap.lasted, Duration::from_secs(3));
        assert_eq!(read(&mut hearing, 2), Some(vec![1]));
        assert_eq!(read(&mut hearing, 2), Some(Vec::new()), "nothing has come");
        assert!(hearing.open(goes_on()).is_none(), "a gap is told once");
    }

    #[tokio::test]
    async fn what_is_for_nobody_is_passed_over() {
        let mut hearing = Hearing::default();
        let _ = hearing.open(stream::iter([1, 2].map(delivery)).boxed());
        let of_even = |delivery: &Delivery| {
            let is_even = delivery.delivery_tag.is_multiple_of(2);
            is_even.then(|| StreamName::new("orders").unwrap())
        };
        std::future::poll_fn(|context| hearing.poll(1, of_even, context)).await;
        let came = hearing.take().unwrap();
        assert_eq!(came.iter().map(|(_, entry)| entry.tag).collect::<Vec<_>>(), [2]);
    }
}
