//! What the programs of this crate have in common: opening a broker by its provider's name.

use std::process::ExitCode;

use broker::Brokers;
use broker::config::Config;

/// Opens the configuration given as the first argument, and tells what its default broker can do or what is wrong.
pub fn open() -> ExitCode {
    let text = std::env::args().nth(1).unwrap_or_default();
    match Config::from_text(&text).and_then(|config| Brokers::open(&config)) {
        Ok(brokers) => {
            let broker = brokers.default_broker();
            println!("{}: {}", broker.provider(), broker.capabilities());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
