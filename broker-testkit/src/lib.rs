//! The conformance suite of the broker framework: proves the capabilities that an adapter claims.
//!
//! An adapter is certified by a test program of a few lines, `tests/conformance.rs` with `harness = false`:
//!
//! ```no_run
//! # use broker_core::registry::Provider;
//! # fn main_of(my_adapter_provider: &'static Provider) -> std::process::ExitCode {
//! broker_testkit::certify(my_adapter_provider, || "my-adapter://localhost:1234".to_owned())
//! # }
//! ```
//!
//! [`Suite`] says more: what the server bounds, how it is stopped and started, which number of checks is pinned.
//!
//! # A check
//!
//! Each law has one async function, registered beside it. The gate names the flags it needs, which are also those it
//! proves when it passes and refutes when it fails:
//!
//! ```text
//! check!(empty, "read.empty", Quick, Gate::needs(Capabilities::CONSUMER_GROUPS), "Nothing there reads as nothing.");
//!
//! async fn empty(t: &Trial) -> CheckResult {
//!     let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
//!     ensure!(broker.read(&stream, &group, 10).await?.is_empty(), "a fresh stream is not empty");
//!     Ok(())
//! }
//! ```
//!
//! - Names come from [`Trial::stream`] and [`Trial::group`], brokers from [`Trial::broker_with`]: they are the check's
//!   own and are cleaned up.
//! - `?` on a broker's error fails the check with the place; [`ensure!`] and [`ensure_eq!`] give reasons in one line.
//! - Never sleep in place of a condition: [`Trial::eventually`], [`Trial::read`], [`Trial::nothing`], [`Reader`].
//! - [`Trial::scale`] chooses between the numbers of quick and full.
//! - What comes and goes in numbers goes through a [`Ledger`]: `t.note(ledger.verify()?)`.
//! - What the adapter need not have ends by [`OrNotClaimed`]; what the machine lacks, by [`not_exercised!`].

mod check;
mod checks;
mod context;
mod described;
mod execute;
mod expect;
mod harness;
mod ledger;
pub mod model;
mod options;
mod parts;
#[cfg(unix)]
mod proxy;
mod reader;
pub mod report;
mod runner;
#[cfg(unix)]
pub mod servers;
mod suite;
#[cfg(unix)]
pub mod torture;
mod trial;
mod url_harness;
mod verdict;

pub use check::{CHECKS, Check, CheckResult, Gate, Level, LocalBoxFuture, Outcome, Part, Stop};
pub use expect::{refused, same, unsupported, within};
pub use harness::{Harness, Limits, Timing};
pub use ledger::{Entry, Ledger};
pub use options::Options;
pub use parts::{ConsumerProcess, NetProxy, RawAccess, ServerControl, VirtualClock};
#[cfg(unix)]
pub use proxy::TcpProxy;
pub use reader::{Reader, Received};
pub use report::Report;
pub use runner::certify;
pub use suite::{Suite, catalogue};
pub use trial::{OrNotClaimed, Trial};
pub use url_harness::UrlHarness;
pub use verdict::Verdict;
