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
//! An application that has providers of its own calls [`main`] from its own program, and so has these commands for
//! everything it links:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     broker_cli::main()
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
mod run;
mod session;
mod table;
mod terminal;

pub use exit::Exit;
pub use run::{main, run};
pub use terminal::Terminal;
