//! `broker providers`.

use broker_core::Capabilities;
use broker_core::registry::{Provider, Registry};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Stop;
use crate::session::Session;
use crate::table::Table;

/// List the linked providers, and the most that each can do.
#[derive(Args)]
pub(crate) struct Providers {}

impl Providers {
    pub(crate) fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let registry = Registry::linked()?;
        if session.is_json() {
            for provider in registry.iter() {
                session.object(&object(provider))?;
            }
            return Ok(());
        }
        let mut table = Table::new(["PROVIDER", "MODE", "CAPABILITIES"]);
        for provider in registry.iter() {
            let mut name = provider.name();
            for (mode, capabilities) in provider.claims() {
                let mode = if mode.is_empty() { "-" } else { mode };
                table.row([name.to_owned(), mode.to_owned(), capabilities.to_string()]);
                name = "";
            }
            if provider.claims().is_empty() {
                table.row([name.to_owned(), "-".to_owned(), "not stated".to_owned()]);
            }
        }
        Ok(session.table(&table)?)
    }
}

fn object(provider: &Provider) -> Value {
    let modes: Vec<_> = provider.claims().iter().map(mode).collect();
    json!({
        "provider": provider.name(),
        "names": provider.names().collect::<Vec<_>>(),
        "package": provider.package(),
        "modes": modes,
    })
}

fn mode((name, capabilities): &(&'static str, Capabilities)) -> Value {
    json!({
        "mode": name,
        "tier": capabilities.tier().map(|tier| tier.name()),
        "capabilities": capabilities,
    })
}
