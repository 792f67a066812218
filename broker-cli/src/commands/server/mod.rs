//! `broker server`.

mod child;
mod counts;
#[cfg(feature = "metrics")]
#[cfg_attr(not(feature = "otlp"), path = "no_otlp.rs")]
mod otlp;
mod pages;
mod pulse;
mod signals;
mod single;
mod supervisor;
#[cfg_attr(not(feature = "metrics"), path = "no_telemetry.rs")]
mod telemetry;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::arguments::duration;
use crate::exit::Stop;
use crate::session::Session;

/// Run this program's subscribers, until a signal asks it to end; then tell what was done. A second signal cuts handlers
/// off.
#[derive(Args)]
pub(crate) struct Server {
    /// How many processes handle messages; one that ends is started again, more slowly each time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// How often a line tells what was done so far, such as 5s; 0s tells nothing.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    progress: Duration,
    /// How long handlers may go on after a stop was asked for; the default is the application's.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    drain: Option<Duration>,
    /// Answer /livez, /readyz and /metrics here, such as 0.0.0.0:9464; needs the feature `metrics`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Send spans and metrics to this OpenTelemetry collector, by OTLP over HTTP, such as http://localhost:4318; the
    /// default is what the OTEL_ variables say. Needs the feature `otlp`.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// The number of this worker; its parent reads its lines, and stops it by closing its standard input.
    #[arg(long, hide = true, value_name = "N")]
    worker: Option<u16>,
}

impl Server {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        if session.app().is_empty() {
            return Err(Stop::usage(
                "this program has no subscribers; call `broker::app().main()` in the program that declares them",
            ));
        }
        if cfg!(not(feature = "metrics")) && self.listen.is_some() {
            return Err(Stop::usage(
                "--listen needs the feature `metrics` of the crate `broker`",
            ));
        }
        if cfg!(not(feature = "otlp")) && self.otlp.is_some() {
            return Err(Stop::usage(
                "--otlp needs the feature `otlp` of the crate `broker`",
            ));
        }
        match self.workers {
            Some(workers) => supervisor::run(&self, workers, session).await,
            None => single::run(&self, session).await,
        }
    }
}
