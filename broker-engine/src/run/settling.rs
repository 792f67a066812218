//! Telling the broker what became of a message, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Capabilities, ErrorKind, Failure, Message, Result, Settled, StreamName};

use super::tally::Tally;
use crate::context::Context;
use crate::handler::Outgoing;

/// How long a settlement that failed rests before it is tried again, at first and at last. Below it, the broker has tried
/// already, for as long as one call may take.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A delivery that is to be settled.
pub(crate) struct Settlement {
    pub(crate) delivery: Delivery,
    /// What is published before.
    pub(crate) before: Vec<Outgoing>,
    pub(crate) what: What,
    pub(crate) context: Context,
    pub(crate) tally: Arc<Tally>,
}

/// How a delivery is to be settled.
pub(crate) enum What {
    /// As done.
    Ack,
    /// It comes again, or to the dead letters of the broker.
    Nack(NackOptions),
    /// It is published as a dead letter, then as done.
    Bury { stream: StreamName, failure: Failure },
}

/// Settles, and tries again for as long as that fails: a message whose dead letter can't be written stays.
///
/// Answers `None` where the broker was closed first: the message comes again when its lease ends.
pub(crate) async fn settle(settlement: Settlement) -> Option<Settled> {
    let Settlement {
        delivery,
        mut before,
        mut what,
        context,
        tally,
    } = settlement;
    let (mut pause, longest) = PAUSES;
    loop {
        let error = match attempt(&delivery, &mut before, &mut what, &context, &tally).await {
            Ok(settled) => return Some(settled),
            Err(error) => error,
        };
        tally.settle_errors.add(1);
        if error.kind() == ErrorKind::Closed {
            return None;
        }
        if error.kind() == ErrorKind::Unsupported {
            tracing::error!(%error, stream = %delivery.stream(), group = %delivery.group(), "a message can't be settled as its handler wants");
            return None;
        }
        tracing::warn!(%error, stream = %delivery.stream(), group = %delivery.group(), ?pause, "a message was not settled; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

async fn attempt(
    delivery: &Delivery,
    before: &mut Vec<Outgoing>,
    what: &mut What,
    context: &Context,
    tally: &Tally,
) -> Result<Settled> {
    let acknowledges = context
        .broker()
        .has_capability(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
    // What is stored is taken off, so that trying again publishes only the rest.
    while let Some(next) = before.first() {
        let broker = match &next.broker {
            Some(name) => context.named(name)?,
            None => context.broker(),
        };
        broker.publish(&next.stream, next.message.clone()).await?;
        tally.published.add(1);
        before.remove(0);
    }
    match what {
        // Only what was published before had to be done.
        What::Ack if !acknowledges => Ok(Settled::Acked),
        What::Ack => delivery.ack().await,
        What::Nack(options) => delivery.nack_with(options.clone()).await,
        What::Bury { stream, failure } => {
            let letter = dead_letter(delivery, failure);
            context.broker().publish(&*stream, letter).await?;
            *what = What::Ack;
            if acknowledges {
                delivery.ack().await
            } else {
                Ok(Settled::Nacked)
            }
        }
    }
}

/// The message with the story of its failure in its headers.
pub(crate) fn dead_letter(delivery: &Delivery, failure: &Failure) -> Message {
    let mut letter = delivery.message().clone();
    let headers = letter.headers_mut();
    headers.insert("dead-letter-reason", failure.reason.clone());
    if !failure.chain.is_empty() {
        headers.insert("dead-letter-cause", failure.chain.join(": "));
    }
    headers.insert("dead-letter-id", delivery.id().to_string());
    headers.insert("dead-letter-stream", delivery.stream().to_string());
    headers.insert("dead-letter-group", delivery.group().to_string());
    headers.insert("dead-letter-attempts", delivery.attempt().to_string());
    letter
}
