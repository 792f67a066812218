//! Reading as a member of a group: waiting without polling, and losing nothing to a dropped future.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::{BoxFuture, Deliveries, Disposition, Membership, ReadEndpoint};
use broker_core::{
    Capabilities, Error, ErrorKind, Failure, MessageId, Receipt, ReceiptRun, Result, Settlements,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::codec;
use crate::list::ListGroup;
use crate::queue::QueueGroup;
use crate::tail::Tail;
use crate::wake::{Waiting, Wake, Waker};

/// The most messages that one step of the server hands out: it does nothing else meanwhile.
const MOST: usize = 1_000;

/// A message as the server handed it out.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) receipt: Receipt,
    pub(crate) body: Vec<u8>,
}

/// What one look at the server brought.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) taken: Vec<Taken>,
    /// After how long something is due that nobody will tell of: the end of a lease or of a delay.
    pub(crate) due: Option<Duration>,
}

/// The group that is read.
#[derive(Clone)]
pub(crate) enum Group {
    List(Arc<ListGroup>),
    Queue(Arc<QueueGroup>),
    /// None: an independent reader.
    Tail(Arc<Tail>),
}

impl Group {
    async fn take(self, max: usize) -> Result<Look> {
        match self {
            Self::List(group) => group.take(max).await,
            Self::Queue(group) => group.take(max).await,
            Self::Tail(tail) => tail.take(max).await,
        }
    }
}

/// A member of a group.
pub(crate) struct Reader {
    group: Group,
    member: Membership,
    waker: Arc<Waker>,
    wake: Arc<Wake>,
    poll_interval: Duration,
    kept: Mutex<Kept>,
}

/// What dropped futures had asked for.
#[derive(Default)]
struct Kept {
    asked: VecDeque<JoinHandle<Result<Look>>>,
    taken: VecDeque<Taken>,
}

impl Reader {
    pub(crate) fn new(group: Group, member: Membership, waker: Arc<Waker>, poll_interval: Duration) -> Self {
        let wake = waker.of(&member.stream);
        Self {
            group,
            member,
            waker,
            wake,
            poll_interval,
            kept: Mutex::default(),
        }
    }

    /// Whether it has what a dropped future had asked for.
    pub(crate) fn has_kept(&self) -> bool {
        let kept = self.kept();
        !kept.asked.is_empty() || !kept.taken.is_empty()
    }

    pub(crate) async fn read(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let look = self.look(max).await?;
        if !look.taken.is_empty() || wait.is_zero() {
            return Ok(deliveries(look.taken));
        }
        self.wait(max, Instant::now() + wait).await
    }

    async fn wait(&self, max: usize, until: Instant) -> Result<Deliveries> {
        self.waker.arm(&self.wake, self.keys()).await?;
        let _waiting = Waiting::new(&self.wake);
        loop {
            let mut woken = std::pin::pin!(self.wake.notify.notified());
            woken.as_mut().enable();
            let look = self.look(max).await?;
            if !look.taken.is_empty() || Instant::now() >= until {
                return Ok(deliveries(look.taken));
            }
            let rest = self.rest();
            let due = look.due.map_or(rest, |due| due.min(rest));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(until.min(Instant::now() + due)) => {}
            }
        }
    }

    /// How long nobody has to look: until all programs' pushes wake us, for ever.
    fn rest(&self) -> Duration {
        match &self.group {
            Group::Queue(group) if self.waker.watch(&self.wake, group.keys()) => Duration::from_secs(60),
            _ => self.poll_interval,
        }
    }

    /// Looks once, in a task of its own: a message that was handed out comes with the next read if this one is dropped.
    async fn look(&self, max: usize) -> Result<Look> {
        let max = max.min(MOST);
        if let Some(taken) = self.left_over(max) {
            return Ok(taken);
        }
        let kept = self.kept().asked.pop_front();
        let left = kept.is_some();
        let asked = kept.unwrap_or_else(|| tokio::spawn(self.group.clone().take(max)));
        let mut asking = Asking {
            reader: self,
            asked: Some(asked),
        };
        let answer = match &mut asking.asked {
            Some(asked) => asked.await,
            None => return Ok(Look::default()),
        };
        asking.asked = None;
        let look = match answer {
            Ok(answer) => answer?,
            Err(error) => {
                return Err(Error::new(ErrorKind::Unexpected, "reading was interrupted").source(error));
            }
        };
        if !left {
            return Ok(look);
        }
        self.kept().taken.extend(look.taken);
        Ok(self.left_over(max).unwrap_or_default())
    }

    fn left_over(&self, max: usize) -> Option<Look> {
        let mut kept = self.kept();
        if kept.taken.is_empty() {
            return None;
        }
        let count = kept.taken.len().min(max);
        Some(Look {
            taken: kept.taken.drain(..count).collect(),
            due: None,
        })
    }

    fn keys(&self) -> &crate::keys::Keys {
        match &self.group {
            Group::List(group) => group.keys(),
            Group::Queue(group) => group.keys(),
            Group::Tail(tail) => tail.keys(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what was asked for when the future that asked is dropped.
struct Asking<'a> {
    reader: &'a Reader,
    asked: Option<JoinHandle<Result<Look>>>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.reader.kept().asked.push_back(asked);
        }
    }
}

impl ReadEndpoint for Reader {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.read(max, wait))
    }

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async move {
            match &self.group {
                Group::List(_) | Group::Tail(_) => {
                    Err(Error::unsupported(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
                }
                Group::Queue(group) => group.ack(&self.member.consumer, runs).await,
            }
        })
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        _: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async move {
            match &self.group {
                Group::List(_) | Group::Tail(_) => Err(Error::unsupported(Capabilities::MESSAGE_REJECTION)),
                Group::Queue(group) => group.nack(&self.member.consumer, runs, disposition).await,
            }
        })
    }

    fn settles(&self) -> bool {
        matches!(self.group, Group::Queue(_))
    }
}

/// Messages with their ids and receipts; what carries no id of its own is called by its place.
fn deliveries(taken: Vec<Taken>) -> Deliveries {
    let (mut messages, mut receipts) = (Vec::with_capacity(taken.len()), Vec::with_capacity(taken.len()));
    for Taken { receipt, body } in taken {
        let (id, message) = codec::decode(body);
        let place = || MessageId::Offset {
            partition: 0,
            offset: receipt.sequence,
        };
        messages.push((id.unwrap_or_else(place), message));
        receipts.push(receipt);
    }
    Deliveries::each(messages, receipts)
}
