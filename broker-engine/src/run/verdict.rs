//! From a handler's answer to what is done with the message.

use std::error::Error as StdError;
use std::time::Duration;

use broker_core::{Failure, Message};

use super::wiring::RouteInfo;
use crate::handler::{BoxError, Outcome, Outgoing, RetryAfter, Undecodable, cause};
use crate::rpc::Status;
use crate::subscriber::OnUndecodable;

/// What is to be done with a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is done.
    Done,
    /// It is done without having been handled.
    Skipped,
    /// These are published, then it is done.
    Publish(Vec<Outgoing>),
    /// This is its answer, then it is done.
    Reply(Box<Message>),
    /// It comes again after this delay.
    Again { delay: Duration, failure: Failure },
    /// It is given up.
    Dead {
        failure: Failure,
        /// What a request is answered with.
        status: Status,
    },
}

/// Decides on what a handler answered about a message at `attempt`.
pub(crate) fn judge(answer: Result<Outcome, BoxError>, attempt: u32, route: &RouteInfo) -> Verdict {
    match answer {
        Ok(Outcome::Ack) => Verdict::Done,
        Ok(Outcome::Skip) => Verdict::Skipped,
        Ok(Outcome::Publish(messages)) => Verdict::Publish(messages),
        Ok(Outcome::Reply(answer)) => Verdict::Reply(answer),
        Ok(Outcome::DeadLetter { reason }) => Verdict::Dead {
            failure: Failure::from_error(&*reason),
            status: Status::SYSTEM_ERROR,
        },
        Ok(Outcome::Nack { delay, reason }) => refuse(cause(&reason), delay, attempt, route),
        Err(error) => failed(cause(&error), attempt, route),
    }
}

fn failed(error: &(dyn StdError + 'static), attempt: u32, route: &RouteInfo) -> Verdict {
    let undecodable = error.is::<Undecodable>();
    match route.undecodable {
        OnUndecodable::Skip if undecodable => return Verdict::Skipped,
        OnUndecodable::Retry if undecodable => return refuse(error, None, attempt, route),
        _ => {}
    }
    if route.retry.is_permanent(error) {
        return Verdict::Dead {
            failure: Failure::from_error(error),
            status: if undecodable {
                Status::ERROR
            } else {
                Status::SYSTEM_ERROR
            },
        };
    }
    let delay = error.downcast_ref::<RetryAfter>().map(RetryAfter::delay);
    refuse(error, delay, attempt, route)
}

fn refuse(
    error: &(dyn StdError + 'static),
    delay: Option<Duration>,
    attempt: u32,
    route: &RouteInfo,
) -> Verdict {
    let failure = Failure::from_error(error);
    if attempt >= route.retry.attempts {
        return Verdict::Dead {
            failure,
            status: Status::SYSTEM_ERROR,
        };
    }
    Verdict::Again {
        delay: delay.unwrap_or_else(|| route.retry.wait_after(attempt)),
        failure,
    }
}
