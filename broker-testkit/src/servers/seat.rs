//! The place of a server's process, which comes and goes while its ports and data stay.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};
use rustix::process::Signal;

use super::process::{Process, wait_until};

/// How long a server may take to come up, with the machine under load and a log to replay.
const STARTING: Duration = Duration::from_secs(120);

/// The place of a server's process, which comes and goes while its ports and data stay.
#[derive(Debug, Default)]
pub(super) struct Seat(Mutex<Option<Process>>);

impl Seat {
    /// Has a process started where none runs.
    pub(super) fn launch(&self, start: impl FnOnce() -> Result<Process>) -> Result<()> {
        let mut process = self.process();
        if !is_up(&mut process) {
            // The one before it is buried first.
            *process = None;
            *process = Some(start()?);
        }
        Ok(())
    }

    /// Waits until the server answers; one that ends before that, or takes too long, is killed. Answers whether it is up.
    pub(super) fn comes_up(&self, mut answers: impl FnMut() -> bool) -> Result<bool> {
        let mut ended = false;
        let up = wait_until(STARTING, || {
            ended = !is_up(&mut self.process());
            ended || answers()
        });
        if up && !ended {
            return Ok(true);
        }
        self.kill()?;
        Ok(false)
    }

    /// Stops the process in good order.
    pub(super) fn stop(&self) -> Result<()> {
        self.process().as_mut().map_or(Ok(()), Process::stop)
    }

    /// Kills the process without a warning.
    pub(super) fn kill(&self) -> Result<()> {
        self.process().as_mut().map_or(Ok(()), Process::kill)
    }

    /// Stops the process' time.
    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets its time go on.
    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut process = self.process();
        let up = is_up(&mut process);
        match &*process {
            Some(process) if up => process.signal(signal),
            _ => Err(Error::new(
                ErrorKind::NotFound,
                "the private server is down; start it first",
            )),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_up(process: &mut Option<Process>) -> bool {
    process.as_mut().is_some_and(|process| process.ended().is_none())
}
