//! What an adapter is told to do, and what it did.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_core::base::Disposition;
use broker_core::{Capabilities, Error, LostCapability, Message};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// What the next call of an operation does, in place of what it would do.
pub(crate) enum Step {
    /// Fails at once, having done nothing.
    Fail(Error),
    /// Fails after having done it.
    FailAfter(Error),
    /// Waits, then fails, having done nothing.
    FailLate(Duration, Error),
    /// Fails when it is polled for the time with this number, having done nothing.
    FailAtPoll(u32, Error),
    /// Answers never.
    Hang,
    /// Waits, then goes on as usual.
    Wait(Duration),
    /// Goes on as usual once the test has added a permit.
    Gate(Arc<Semaphore>),
    /// Publishing: fails the messages at these places, and stores the others.
    FailSome(Vec<usize>, Error),
    /// Publishing and settling: does it, and answers for one message less.
    Forget,
    /// Reading: answers at once that nothing is there.
    Empty,
    /// Panics.
    Panic,
}

/// A call that the adapter received.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) at: Instant,
    /// How many messages or receipts it was about; for a read, the most it may answer.
    pub(crate) size: usize,
}

/// What an adapter is told to do, and what it did. Clones are the same script.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) state: Arc<Mutex<State>>,
    pub(super) arrived: Arc<Notify>,
    /// Whether names are resolved to endpoints with fast paths.
    pub(crate) resolves: Option<Resolves>,
}

/// What the endpoints can.
#[derive(Clone, Copy, Default)]
pub(crate) struct Resolves {
    /// Acks, reads and gives back without waiting.
    pub(crate) at_once: bool,
    /// How many batches may be on their way.
    pub(crate) in_flight: usize,
    /// Reads ahead.
    pub(crate) ahead: bool,
}

pub(crate) struct State {
    pub(crate) claims: Capabilities,
    pub(crate) lost: Vec<LostCapability>,
    pub(crate) offers_dead_letters: bool,
    pub(crate) steps: HashMap<&'static str, VecDeque<Step>>,
    pub(crate) calls: Vec<Call>,
    pub(crate) stored: Vec<Message>,
    pub(crate) ready: VecDeque<(u64, u32)>,
    pub(crate) pending: BTreeMap<u64, u32>,
    pub(crate) most_pending: usize,
    pub(crate) acked: Vec<u64>,
    pub(crate) nacks: Vec<(u64, Disposition, String)>,
    pub(crate) given_back: Vec<u64>,
    pub(crate) dropped: bool,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub(crate) fn new(claims: Capabilities) -> Self {
        let state = State {
            claims,
            lost: Vec::new(),
            offers_dead_letters: claims.contains(Capabilities::DEAD_LETTER_QUEUE),
            steps: HashMap::new(),
            calls: Vec::new(),
            stored: Vec::new(),
            ready: VecDeque::new(),
            pending: BTreeMap::new(),
            most_pending: 0,
            acked: Vec::new(),
            nacks: Vec::new(),
            given_back: Vec::new(),
            dropped: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            arrived: Arc::default(),
            resolves: None,
        }
    }

    /// Resolves names, to endpoints that let so many batches be on their way.
    pub(crate) fn resolving(mut self, in_flight: usize) -> Self {
        self.resolves = Some(Resolves {
            in_flight,
            ..Resolves::default()
        });
        self
    }

    /// Resolves names, to endpoints whose next read is under way while the last one is handled.
    pub(crate) fn reading_ahead(mut self) -> Self {
        self.resolves = Some(Resolves {
            in_flight: 1,
            ahead: true,
            ..Resolves::default()
        });
        self
    }

    /// Resolves names, to endpoints that read, ack and give back without waiting.
    pub(crate) fn at_once(mut self) -> Self {
        self.resolves = Some(Resolves {
            at_once: true,
            in_flight: 1,
            ..Resolves::default()
        });
        self
    }

    /// Tells what the next calls of `operation` do, in order; after them it works.
    pub(crate) fn then(&self, operation: &'static str, steps: impl IntoIterator<Item = Step>) -> &Self {
        self.state().steps.entry(operation).or_default().extend(steps);
        self
    }

    /// Makes the next `count` calls of `operation` fail.
    pub(crate) fn fail(&self, operation: &'static str, count: usize, error: &Error) -> &Self {
        self.then(operation, (0..count).map(|_| Step::Fail(error.clone())))
    }

    /// Lets the next call of `operation` wait for a permit of the semaphore that this answers.
    pub(crate) fn gate(&self, operation: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.then(operation, [Step::Gate(Arc::clone(&gate))]);
        gate
    }

    /// Forgets the steps that were not reached.
    pub(crate) fn heal(&self) {
        self.state().steps.clear();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The calls of `operation`, in order.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        let calls = &self.state().calls;
        calls
            .iter()
            .filter(|call| call.operation == operation)
            .cloned()
            .collect()
    }

    /// How often `operation` was called.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls(operation).len()
    }

    /// The sizes of the calls of `operation`.
    pub(crate) fn sizes(&self, operation: &str) -> Vec<usize> {
        self.calls(operation).iter().map(|call| call.size).collect()
    }

    /// The places of the messages that were acked, in order.
    pub(crate) fn acked(&self) -> Vec<u64> {
        self.state().acked.clone()
    }

    /// The payloads that are stored, in order.
    pub(crate) fn stored(&self) -> Vec<String> {
        let text = |message: &Message| String::from_utf8(message.payload().to_vec()).unwrap();
        self.state().stored.iter().map(text).collect()
    }

    /// Stores `count` messages, numbered on.
    pub(crate) fn put(&self, count: usize) {
        let mut state = self.state();
        for _ in 0..count {
            let message = Message::text(state.stored.len().to_string());
            state.store(message);
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    /// Stores a message that was delivered so often before.
    pub(crate) fn put_tried(&self, attempts: u32) {
        let mut state = self.state();
        let message = Message::text(state.stored.len().to_string());
        state.store(message);
        if let Some(last) = state.ready.back_mut() {
            last.1 = attempts + 1;
        }
    }

    /// Waits, at most ten seconds of its clock, until `condition` holds.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let holds = async {
            while !condition(&self.state()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let held = tokio::time::timeout(Duration::from_secs(10), holds).await;
        assert!(held.is_ok(), "waited in vain for: {what}");
    }
}

impl State {
    pub(crate) fn store(&mut self, message: Message) -> u64 {
        let offset = self.stored.len() as u64;
        self.stored.push(message);
        self.ready.push_back((offset, 1));
        offset
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls
            .iter()
            .filter(|call| call.operation == operation)
            .count()
    }

    /// Hands out up to `max` messages: place and attempt.
    pub(crate) fn hand_out(&mut self, max: usize) -> Vec<(u64, u32)> {
        let count = max.min(self.ready.len());
        let taken: Vec<_> = self.ready.drain(..count).collect();
        self.pending.extend(taken.iter().copied());
        self.most_pending = self.most_pending.max(self.pending.len());
        taken
    }
}
