//! Who waits for which answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use broker_core::broker::Delivery;
use broker_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::{REQUEST_ID, Response};

/// Who waits for which answer, and how many answers nobody waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    asked: Mutex<Asked>,
    late: AtomicU64,
}

#[derive(Debug, Default)]
struct Asked {
    waiters: HashMap<String, Waiter>,
    /// No answer will come any more.
    closed: bool,
}

/// Who waits for the answers to one request.
#[derive(Debug)]
pub(super) enum Waiter {
    /// One who wants the first.
    One(oneshot::Sender<Result<Response>>),
    /// One who gathers all that come, with the request's number.
    All(u64, mpsc::Sender<Answer>),
}

/// An answer, and the number of its request.
pub(super) type Answer = (u64, Result<Response>);

impl Waiting {
    /// Has `waiter` told of the answers to a request.
    pub(super) fn add(&self, id: String, waiter: Waiter) -> Result<()> {
        let mut asked = self.asked();
        if asked.closed {
            return Err(Error::closed().operation("request"));
        }
        asked.waiters.insert(id, waiter);
        Ok(())
    }

    /// Nobody waits for this one any more.
    pub(super) fn forget(&self, id: &str) {
        self.asked().waiters.remove(id);
    }

    /// No answer will come any more: whoever waits is told.
    pub(super) fn close(&self) {
        let mut asked = self.asked();
        asked.closed = true;
        for (_, waiter) in asked.waiters.drain() {
            let closed = Err(Error::closed().operation("request"));
            // Who has gone away, or has so much to take in, hears of it some other time.
            match waiter {
                Waiter::One(answer) => drop(answer.send(closed)),
                Waiter::All(number, answers) => drop(answers.try_send((number, closed))),
            }
        }
    }

    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Hands an answer to the one who waits for it.
    pub(super) fn answer(&self, delivery: &Delivery) {
        let id = delivery.headers().get_str(REQUEST_ID).ok().flatten();
        if !id.is_some_and(|id| self.take(id, delivery)) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether somebody took it: who asked may have gone away meanwhile, or have no room for more.
    fn take(&self, id: &str, delivery: &Delivery) -> bool {
        let response = || Response::read(delivery.message().clone());
        let mut asked = self.asked();
        match asked.waiters.get(id) {
            Some(Waiter::All(number, answers)) => answers.try_send((*number, response())).is_ok(),
            Some(Waiter::One(_)) => match asked.waiters.remove(id) {
                Some(Waiter::One(answer)) => answer.send(response()).is_ok(),
                _ => false,
            },
            None => false,
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
