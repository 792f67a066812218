//! A task that goes on with what somebody else began.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::lifecycle::Stage;
use super::shared::Shared;
use crate::base::BoxFuture;
use crate::values::{Error, ErrorKind, Result, Retry};

/// A task that goes on with what somebody else began, one piece of work after the other.
///
/// Whoever begins takes the first step itself, in the task's name: a request is on its way without the task being
/// woken for it, and what is kept and not polled goes on all the same. Dropping this ends the task.
pub(super) struct Apart<T: Send + 'static>(Arc<Inner<T>>);

struct Inner<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    work: Option<BoxFuture<'static, Result<T>>>,
    answer: Option<Result<T>>,
    /// Who waits for the answer.
    waiting: Option<Waker>,
    /// Whether there is a task.
    running: bool,
    /// That task, once it has run.
    task: Option<Waker>,
    /// Whether nobody will ask for the answer.
    unwanted: bool,
    /// Whether nothing more will be begun.
    over: bool,
}

impl<T: Send + 'static> Apart<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                work: None,
                answer: None,
                waiting: None,
                running: false,
                task: None,
                unwanted: false,
                over: false,
            }),
        }))
    }

    /// Begins `work`, in place of what was begun before. Outside of a runtime it is done by whoever waits.
    ///
    /// Dropping the answer drops the work as well, or else what it has brought.
    pub(super) fn begin(&self, shared: &Arc<Shared>, mut work: BoxFuture<'static, Result<T>>) -> Answer<T> {
        let answer = Answer {
            inner: Arc::clone(&self.0),
            provider: shared.provider,
            taken: false,
        };
        let in_runtime = tokio::runtime::Handle::try_current().is_ok();
        let mut state = self.0.state();
        let before = (state.work.take(), state.answer.take());
        state.unwanted = false;
        let task = state.task.clone().filter(|_| state.running && in_runtime);
        match task {
            // Under the lock: the task that is woken meanwhile must find the work.
            Some(task) => match work.as_mut().poll(&mut Context::from_waker(&task)) {
                Poll::Ready(answer) => state.answer = Some(answer),
                Poll::Pending => state.work = Some(work),
            },
            None => state.work = Some(work),
        }
        let begins = !state.running && in_runtime;
        state.running |= begins;
        let task = state.task.clone().filter(|_| !in_runtime);
        drop(state);
        drop(before);
        if let Some(task) = task {
            task.wake();
        }
        if begins {
            let runner = Runner(Arc::clone(&self.0));
            let ends = Arc::clone(shared);
            shared.spawn(Box::pin(async move {
                let closing = pin!(ends.life.unless(Stage::Draining, std::future::pending::<()>()));
                runner.run(closing).await;
            }));
        }
        answer
    }
}

impl<T: Send + 'static> Drop for Apart<T> {
    fn drop(&mut self) {
        let task = {
            let mut state = self.0.state();
            state.over = true;
            state.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<T> Inner<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes the next step; answers who is to be told that it was the last one.
    fn step(&mut self, context: &mut Context<'_>) -> Option<Waker> {
        // Taken out: work that panics is not touched again.
        let mut work = self.work.take()?;
        match work.as_mut().poll(context) {
            Poll::Ready(answer) => {
                self.answer = Some(answer);
                self.waiting.take()
            }
            Poll::Pending => {
                self.work = Some(work);
                None
            }
        }
    }
}

/// The task. However it ends, whoever waits is told.
struct Runner<T>(Arc<Inner<T>>);

impl<T> Runner<T> {
    async fn run(&self, mut closing: Pin<&mut impl Future>) {
        std::future::poll_fn(|context| {
            let mut state = self.0.state();
            let unwanted = match state.unwanted || state.over {
                true => (state.work.take(), state.answer.take()),
                false => (None, None),
            };
            if !state
                .task
                .as_ref()
                .is_some_and(|task| task.will_wake(context.waker()))
            {
                state.task = Some(context.waker().clone());
            }
            let told = state.step(context);
            let (idle, over) = (state.work.is_none(), state.over);
            drop(state);
            drop(unwanted);
            if let Some(told) = told {
                told.wake();
            }
            if over || idle && closing.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

impl<T> Drop for Runner<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.running = false;
            state.task = None;
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// What work that was begun answers.
pub(super) struct Answer<T> {
    inner: Arc<Inner<T>>,
    provider: &'static str,
    taken: bool,
}

impl<T> Future for Answer<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let answer = {
            let mut state = self.inner.state();
            if !state.running {
                // No task, or one that ended with its runtime.
                state.step(context);
            }
            match state.answer.take() {
                Some(answer) => answer,
                None if state.running || state.work.is_some() => {
                    state.waiting = Some(context.waker().clone());
                    return Poll::Pending;
                }
                None => Err(Error::new(
                    ErrorKind::Unexpected,
                    "its task was broken off, with its runtime or by a panic; try again",
                )
                .retry(Retry::Safe)
                .operation("read")
                .provider(self.provider)),
            }
        };
        self.taken = true;
        Poll::Ready(answer)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut state = self.inner.state();
        // Its task lets go of the work, within its runtime.
        state.unwanted = true;
        state.waiting = None;
        let task = state.task.clone();
        let left = match state.running {
            true => (None, None),
            false => (state.work.take(), state.answer.take()),
        };
        drop(state);
        drop(left);
        if let Some(task) = task {
            task.wake();
        }
    }
}
