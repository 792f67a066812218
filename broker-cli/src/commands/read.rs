//! `broker read`.

use std::time::Duration;

use broker_core::Capabilities;
use broker_core::broker::{Broker, Delivery, NackOptions};
use clap::Args;

use crate::arguments::duration;
use crate::exit::{Exit, Stop};
use crate::json;
use crate::session::{Session, closed};
use crate::table::shown;

/// Read messages as a member of a group, write them, and acknowledge them.
#[derive(Args)]
pub(crate) struct Read {
    /// The stream.
    stream: String,
    /// The group; one that is not there yet starts at the earliest message.
    #[arg(long, short)]
    group: String,
    /// How many messages at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    max: usize,
    /// How long to wait for the first, such as 5s.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,
    /// Acknowledge what was written; this is the default where the broker can.
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Hand back what was written: it comes again, and the reading does not count as an attempt.
    #[arg(long, overrides_with = "ack")]
    no_ack: bool,
}

impl Read {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.connect().await?;
        let done = self.read(session, &broker).await;
        closed(&broker, done).await
    }

    async fn read(&self, session: &mut Session<'_, '_>, broker: &Broker) -> Result<(), Stop> {
        let settling = self.settling(broker)?;
        let mut batch = broker
            .read_wait(&self.stream, &self.group, self.max, self.wait)
            .await?;
        let (mut exit, mut seen) = (Exit::Success, Vec::new());
        while let Some(delivery) = batch.next() {
            // Written first: what nobody saw must come again, and need not wait for its lease to end.
            if let Err(error) = write(session, &delivery) {
                let unseen = seen.into_iter().chain([delivery]).chain(batch);
                let _come_later = give_back(unseen).await;
                return Err(error.into());
            }
            match settling {
                Settling::Ack => {
                    let settled = delivery.ack().await?;
                    if !settled.took_effect() {
                        session.complain(format_args!("{} is not acknowledged: {settled:?}", delivery.id()));
                        exit = Exit::Failure;
                    }
                }
                Settling::GiveBack => seen.push(delivery),
                Settling::Nothing => {}
            }
        }
        give_back(seen.into_iter()).await?;
        if exit == Exit::Success {
            Ok(())
        } else {
            Err(Stop::quietly(exit))
        }
    }

    /// What is asked for and what the broker can do; refused before anything is read.
    fn settling(&self, broker: &Broker) -> Result<Settling, broker_core::Error> {
        if self.ack {
            need(broker, Capabilities::MESSAGE_ACKNOWLEDGEMENT)?;
        }
        if self.no_ack {
            need(broker, Capabilities::MESSAGE_REJECTION)?;
            return Ok(Settling::GiveBack);
        }
        let can = broker.has_capability(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        Ok(if can { Settling::Ack } else { Settling::Nothing })
    }
}

fn need(broker: &Broker, flag: Capabilities) -> Result<(), broker_core::Error> {
    if broker.has_capability(flag) {
        return Ok(());
    }
    let error = broker_core::Error::unsupported(flag)
        .operation("read")
        .provider(broker.provider());
    let lost = broker.lost_capabilities();
    Err(
        match lost.into_iter().find(|lost| lost.capability.contains(flag)) {
            Some(lost) => error.with("reason", lost.reason),
            None => error,
        },
    )
}

#[derive(Clone, Copy)]
enum Settling {
    Ack,
    GiveBack,
    Nothing,
}

async fn give_back(deliveries: impl Iterator<Item = Delivery>) -> Result<(), broker_core::Error> {
    for delivery in deliveries {
        delivery.nack_with(NackOptions::new().give_back()).await?;
    }
    Ok(())
}

/// Writes a delivery: an object, or a line of id, key and payload.
pub(crate) fn write(session: &mut Session<'_, '_>, delivery: &Delivery) -> std::io::Result<()> {
    if session.is_json() {
        return session.object(&json::delivery(delivery));
    }
    let key = delivery
        .message_key()
        .map_or_else(|| "-".to_owned(), |key| shown(key));
    let (id, payload) = (delivery.id().to_string(), shown(delivery.payload()));
    session.line(format_args!("{id:<12}  {key:<12}  {payload}"))
}
