//! `broker config`.

#[cfg(feature = "schema")]
mod reference;

use broker_core::broker::Broker;
use broker_core::registry::Registry;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::{Exit, Stop, one_line};
use crate::session::Session;
use crate::table::Table;

/// Check the configuration, or describe it.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Open every configured broker without I/O, and tell what is wrong.
    Check,
    #[cfg(feature = "schema")]
    /// Write the JSON Schema of the configuration, for editors; it covers the linked providers.
    Schema,
    #[cfg(feature = "schema")]
    /// Write the reference of every setting in Markdown; it covers the linked providers.
    Reference,
}

impl ConfigCommand {
    pub(crate) fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        match self {
            Self::Check => check(session),
            #[cfg(feature = "schema")]
            Self::Schema => schema(session),
            #[cfg(feature = "schema")]
            Self::Reference => Ok(write!(
                session.output(),
                "{}",
                reference::page(&Registry::linked()?)
            )?),
        }
    }
}

#[cfg(feature = "schema")]
fn schema(session: &mut Session<'_, '_>) -> Result<(), Stop> {
    let schema = broker_core::config::Config::schema(&Registry::linked()?);
    serde_json::to_writer_pretty(&mut *session.output(), &schema).map_err(std::io::Error::from)?;
    Ok(session.line("")?)
}

/// Goes on after the first mistake: they are mended together.
fn check(session: &mut Session<'_, '_>) -> Result<(), Stop> {
    let (config, registry) = (session.config()?, Registry::linked()?);
    let mut table = Table::new(["BROKER", "PROVIDER", "CAPABILITIES"]);
    let mut wrong = false;
    for (name, settings) in config.iter() {
        match Broker::from_settings(name, settings.clone(), &registry) {
            Ok(broker) if session.is_json() => session.object(&object(&broker))?,
            Ok(broker) => table.row([
                name.to_owned(),
                broker.provider().to_owned(),
                broker.capabilities().to_string(),
            ]),
            Err(error) => {
                wrong = true;
                if session.is_json() {
                    let error = one_line(&error.to_string());
                    session.object(&json!({ "broker": name, "ok": false, "error": error }))?;
                } else {
                    session.complain(error);
                }
            }
        }
    }
    if !session.is_json() {
        session.table(&table)?;
    }
    if wrong {
        return Err(Stop::quietly(Exit::Usage));
    }
    if config.get("default").is_none() {
        let names = config.names().collect::<Vec<_>>().join(", ");
        return Err(Stop::usage(format_args!(
            "brokers.default: missing (configured: {names}); add a `[brokers.default]` table with its `provider`"
        )));
    }
    Ok(())
}

fn object(broker: &Broker) -> Value {
    json!({
        "broker": broker.name(),
        "ok": true,
        "provider": broker.provider(),
        "capabilities": broker.capabilities(),
    })
}
