//! `broker tail`.

use broker_core::{Broker, StartPosition};
use clap::Args;

use crate::commands::read::write;
use crate::exit::Stop;
use crate::session::{Session, closed};

/// Follow a stream without taking part in any group, until Ctrl-C.
#[derive(Args)]
pub(crate) struct Tail {
    /// The stream, or a pattern such as user.* for all streams that match.
    stream: String,
    /// Where to start: earliest, latest, id:ID, or time:2026-01-31T12:00:00Z.
    #[arg(long, value_name = "POSITION", default_value = "latest", value_parser = position)]
    from: StartPosition,
    /// Stop after so many messages.
    #[arg(long, short = 'n', value_name = "N")]
    max: Option<u64>,
}

impl Tail {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.connect().await?;
        let done = self.follow(session, &broker).await;
        closed(&broker, done).await
    }

    async fn follow(self, session: &mut Session<'_, '_>, broker: &Broker) -> Result<(), Stop> {
        // One for the whole run: between two of them, Ctrl-C would go unheard.
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let mut deliveries = broker.listen(&self.stream).start_at(self.from).start().await?;
        let mut left = self.max.unwrap_or(u64::MAX);
        while left > 0 {
            let delivery = tokio::select! {
                delivery = deliveries.next() => delivery,
                _ = &mut interrupted => None,
            };
            let Some(delivery) = delivery else { break };
            write(session, &delivery?)?;
            left -= 1;
        }
        Ok(())
    }
}

fn position(text: &str) -> Result<StartPosition, String> {
    text.parse()
        .map_err(|error: broker_core::Error| error.message().to_owned())
}
