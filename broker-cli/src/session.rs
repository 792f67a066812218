//! What a command works with.

use std::ffi::OsString;
use std::io;

use broker_core::config::{Config, Settings, nearest};
use broker_core::registry::Registry;
use broker_core::{Broker, Error};
use broker_engine::App;
use serde::Serialize;
use tokio::io::AsyncBufRead;

use crate::arguments::{Format, Global};
use crate::exit::Stop;
use crate::log::Log;
use crate::table::Table;
use crate::terminal::Terminal;

/// What a command works with: the global arguments, and where to read and write.
pub(crate) struct Session<'s, 't> {
    global: Global,
    app: App,
    terminal: &'s mut Terminal<'t>,
}

impl<'s, 't> Session<'s, 't> {
    pub(crate) fn new(global: Global, app: App, terminal: &'s mut Terminal<'t>) -> Self {
        Self {
            global,
            app,
            terminal,
        }
    }

    /// The program's own subscribers.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Every broker that is configured.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        match (&self.global.url, &self.global.config) {
            (Some(url), _) => Ok(Config::default().with("default", Settings::from_url(url)?)),
            (None, Some(file)) => Config::from_file(file),
            (None, None) => Config::load(),
        }
    }

    /// The chosen broker's settings. The others may be wrong: this one is still there to be helped.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let (config, name) = (self.config()?, &self.global.broker);
        if let Some(settings) = config.get(name) {
            return Ok(settings.clone());
        }
        let names: Vec<_> = config.names().collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("add `[brokers.{name}]`"),
        };
        let configured = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        Err(Error::config(
            "--broker",
            format!("no broker is called `{name}` (configured: {configured}); {hint}"),
        ))
    }

    /// What is to be logged.
    pub(crate) fn log(&self) -> Log {
        Log::new(self.global.log.clone())
    }

    /// The arguments by which another process of this program chooses the same broker, and logs the same.
    pub(crate) fn for_child(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        match &self.global.url {
            Some(url) => arguments.extend(["--url".into(), url.into()]),
            None => arguments.extend(["--broker".into(), self.global.broker.as_str().into()]),
        }
        if let Some(file) = &self.global.config {
            arguments.extend(["--config".into(), file.into()]);
        }
        arguments.extend(self.log().arguments());
        arguments
    }

    /// The chosen broker, without I/O.
    pub(crate) fn open(&self) -> Result<Broker, Error> {
        Broker::from_settings(&self.global.broker, self.settings()?, &Registry::linked()?)
    }

    /// The chosen broker, connected.
    pub(crate) async fn connect(&self) -> Result<Broker, Error> {
        let broker = self.open()?;
        broker.ensure_connection().await?;
        Ok(broker)
    }

    /// Whether programs read the results.
    pub(crate) fn is_json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// Standard input.
    pub(crate) fn input(&mut self) -> &mut (dyn AsyncBufRead + Unpin + Send) {
        self.terminal.input
    }

    /// Writes one object as one line, at once: somebody may be waiting for it.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.terminal.output, object)?;
        self.terminal.output.write_all(b"\n")?;
        self.terminal.output.flush()
    }

    /// Writes one line of text.
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.terminal.output, "{line}")?;
        self.terminal.output.flush()
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, table: &Table) -> io::Result<()> {
        write!(self.terminal.output, "{table}")
    }

    /// Writes text as it is.
    pub(crate) fn output(&mut self) -> &mut (dyn io::Write + Send) {
        self.terminal.output
    }

    /// Tells an error that does not end the command.
    pub(crate) fn complain(&mut self, line: impl std::fmt::Display) {
        let line = crate::exit::one_line(&line.to_string());
        let _gone = writeln!(self.terminal.errors, "error: {line}");
    }
}

/// Closes the broker, whatever came of the work with it, and answers what went wrong first.
pub(crate) async fn closed(broker: &Broker, done: Result<(), Stop>) -> Result<(), Stop> {
    let closed = broker.close().await;
    done?;
    Ok(closed?)
}
