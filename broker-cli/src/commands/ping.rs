//! `broker ping`.

use clap::Args;
use serde_json::json;

use crate::exit::Stop;
use crate::json::milliseconds;
use crate::session::Session;

/// Ask the server for a sign of life.
#[derive(Args)]
pub(crate) struct Ping {}

impl Ping {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.open()?;
        let took = broker.ping().await?;
        if session.is_json() {
            session.object(&json!({
                "broker": broker.name(), "provider": broker.provider(), "ping_ms": milliseconds(took),
            }))?;
        } else {
            let ms = milliseconds(took);
            session.line(format_args!(
                "{} ({}) answered in {ms} ms",
                broker.name(),
                broker.provider()
            ))?;
        }
        Ok(broker.close().await?)
    }
}
