//! Without the feature `metrics` nobody can ask.

use std::net::SocketAddr;
use std::time::Duration;

use broker_core::Brokers;
use broker_engine::{App, Plan, Receipt};
use tracing_subscriber::layer::Identity;

use super::Server;
use super::pulse::Pulse;
use crate::exit::Stop;

pub(super) struct Telemetry;

impl Telemetry {
    pub(super) async fn start(_: &Server, _: &Pulse) -> Result<Self, Stop> {
        Ok(Self)
    }

    pub(super) async fn serve(_: Option<SocketAddr>, _: &Pulse) -> Result<Self, Stop> {
        Ok(Self)
    }

    pub(super) fn spans(&self) -> Option<Identity> {
        None
    }

    pub(super) fn observe(&self, app: App) -> App {
        app
    }

    pub(super) async fn page(&self, _: &Brokers, _: &Plan, _: &Receipt) -> String {
        String::new()
    }

    pub(super) async fn end(self, _: Option<&Receipt>, _: Option<Duration>) {}
}
