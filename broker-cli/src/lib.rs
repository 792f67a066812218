//! The `broker` program, and the same as a library.
//!
//! ```console
//! $ broker providers
//! $ echo '{"id":7}' | broker publish orders --key customer-3
//! $ broker tail orders --from earliest --format json | jq .payload
//! $ broker groups orders
//! $ broker dlq replay orders --group billing --all
//! ```
//!
//! An application calls [`main`] from its own program, and so has these commands for every provider it links, and
//! `server` and `plan` for every subscriber that it declares; with states or subscribers by hand it is [`Main::main`]:
//!
//! ```no_run
//! use broker_cli::Main as _;
//!
//! fn main() -> std::process::ExitCode {
//!     broker_engine::app().state("what handlers share").main()
//! }
//! ```
//!
//! Exit codes are those of [`Exit`]. Errors are one line each on standard error. With `--format json` the shapes are
//! stable: one object per line, durations as numbers of milliseconds whose names end in `_ms`, times as RFC 3339, bytes as
//! text where they are UTF-8 and else in base64 under a name that ends in `_base64`.

mod arguments;
mod commands;
mod exit;
mod json;
mod log;
mod run;
mod session;
mod table;
mod terminal;

pub use exit::Exit;
pub use run::{Main, main, run, run_app};
pub use terminal::Terminal;

// The providers of this program; a crate that nothing mentions is not linked.
use broker_inline as _;
#[cfg(feature = "kafka")]
use broker_kafka as _;
#[cfg(feature = "rabbitmq")]
use broker_rabbitmq as _;
#[cfg(feature = "redis-pubsub")]
use broker_redis_pubsub as _;
#[cfg(feature = "redis-streams")]
use broker_redis_streams as _;
