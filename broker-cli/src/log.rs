//! What the program logs while it runs.

use std::ffi::OsString;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Identity, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// What is logged, and whether anything is where nobody says what.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    targets: Option<Targets>,
}

impl Log {
    pub(crate) fn new(targets: Option<Targets>) -> Self {
        Self { targets }
    }

    /// The arguments by which another process of this program logs the same.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> + use<> {
        let targets = self.targets.iter().map(ToString::to_string);
        let pairs = targets.map(|targets| ["--log".into(), targets.into()]);
        pairs.collect::<Vec<_>>().into_iter().flatten()
    }

    /// Logs on standard error what was asked for: a command says by itself what went wrong.
    pub(crate) fn of_command(self) {
        if self.targets.is_some() {
            self.start(None::<Identity>);
        }
    }

    /// Logs on standard error what was asked for, and else warnings; `spans` hears of everything.
    pub(crate) fn of_service(self, spans: Option<impl Layer<Registry> + Send + Sync>) {
        self.start(spans);
    }

    fn start(self, spans: Option<impl Layer<Registry> + Send + Sync>) {
        let targets = self
            .targets
            .unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
        let lines = fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_filter(targets);
        let subscriber = tracing_subscriber::registry().with(spans).with(lines);
        // Refused where the application has installed one of its own, whose affair it is then.
        let _other = tracing::subscriber::set_global_default(subscriber);
    }
}
