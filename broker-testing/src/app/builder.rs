//! Configures the brokers of the application under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker_core::Capabilities;
use broker_core::broker::Brokers;
use broker_core::config::BrokerConfig;
use broker_engine::App;
use broker_inline::InlineConfig;

use super::test_app::TestApp;
use crate::handled::Calls;
use crate::recording::{RecordingConfig, Tape};
use crate::unmet::unmet;

/// How long, on the test's clock, messages may take to be settled.
const PATIENCE: Duration = Duration::from_secs(7 * 86_400);

/// Configures the brokers of the application under test; made by [`TestApp::of`].
///
/// ```
/// use broker::prelude::*;
/// use broker_testing::TestApp;
///
/// async fn bill(Json(_): Json<u32>) -> Result<(), std::io::Error> {
///     Err(std::io::Error::other("the till is closed"))
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let service = App::empty().subscribe(Subscriber::new("orders", "billing").handle(bill));
/// let app = TestApp::of(service).capabilities(Capabilities::SIMPLE_QUEUING).start().await; // no acks there
/// app.publish("orders", Message::json(&2).unwrap()).await;
/// app.settled().await;
/// assert_eq!(app.published("orders.billing.dead").len(), 1); // the engine's, as the broker keeps none
/// # app.stop().await;
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the application runs by start()"]
pub struct TestAppBuilder {
    app: App,
    names: BTreeSet<String>,
    common: BrokerConfig,
    inline: InlineConfig,
    patience: Duration,
}

impl TestAppBuilder {
    pub(super) fn new(app: App) -> Self {
        let mut names = app.broker_names();
        names.insert("default".to_owned());
        Self {
            app,
            names,
            common: BrokerConfig::default(),
            inline: InlineConfig::default(),
            patience: PATIENCE,
        }
    }

    /// Adds a broker of this name, for handlers that ask for it; those that subscribers are on are there already.
    pub fn broker(mut self, name: impl Into<String>) -> Self {
        self.names.insert(name.into());
        self
    }

    /// Gives all brokers these settings, as far as they do not depend on the provider.
    pub fn common(mut self, config: BrokerConfig) -> Self {
        self.common = config;
        self
    }

    /// Gives all brokers these settings.
    pub fn inline(mut self, config: InlineConfig) -> Self {
        self.inline = config;
        self
    }

    /// Leaves the brokers only these capabilities, to imitate weaker ones.
    ///
    /// # Panics
    ///
    /// Where the in-process broker never had one of them.
    #[track_caller]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        match self.inline.capabilities(capabilities) {
            Ok(inline) => self.inline = inline,
            Err(error) => unmet(&error.to_string()),
        }
        self
    }

    /// Sets how long, on the test's clock, messages may take to be settled; the default is a week.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Joins the groups; messages are handled from now on.
    ///
    /// # Panics
    ///
    /// Where the application can't start, with its error.
    pub async fn start(self) -> TestApp {
        let calls = Arc::<Calls>::default();
        let mut tapes = BTreeMap::new();
        let mut builder = Brokers::builder();
        for name in &self.names {
            let tape = Tape::default();
            let config = RecordingConfig {
                inline: self.inline.clone(),
                tape: tape.clone(),
            };
            builder = builder.named_with(name.clone(), self.common.clone(), config);
            tapes.insert(name.clone(), tape);
        }
        let brokers = match builder.build() {
            Ok(brokers) => brokers,
            Err(error) => unmet(&format!("the test's brokers: {error}")),
        };
        let engine = self.app.observe(calls.clone()).on(brokers.clone());
        match engine.start().await {
            Ok(engine) => TestApp {
                engine,
                brokers,
                tapes,
                calls,
                patience: self.patience,
            },
            Err(error) => unmet(&format!("the application does not start: {error}")),
        }
    }
}
