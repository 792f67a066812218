//! One law that an adapter has to keep, and what came of checking it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;

use broker_core::Capabilities;
use linkme::distributed_slice;
use serde::{Deserialize, Serialize};

use crate::Trial;

/// Every check of this crate; the modules below `checks` add to it.
#[distributed_slice]
pub static CHECKS: [Check];

/// One law that an adapter has to keep.
#[derive(Debug)]
pub struct Check {
    /// Its name, `section.law`, which filters go by.
    pub id: &'static str,
    /// The smallest level that runs it.
    pub level: Level,
    /// What it needs from broker and harness.
    pub gate: Gate,
    /// What it checks, in one sentence.
    pub law: &'static str,
    /// How.
    pub run: for<'a> fn(&'a Trial) -> LocalBoxFuture<'a, CheckResult>,
}

/// The boxed future of a check, which stays on its thread.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// How thorough a run is; each level contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Seconds: the inner loop of an adapter's author.
    Quick,
    /// Minutes: larger numbers and slow laws.
    Full,
    /// Faults of server and network; needs a harness that controls them.
    Chaos,
}

impl Level {
    /// The level as it is written on a command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Chaos => "chaos",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Quick, Self::Full, Self::Chaos]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| format!("unknown level `{text}`; quick, full or chaos is expected"))
    }
}

/// What a harness may have beyond opening brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Starting, stopping and killing the server.
    Server,
    /// A network proxy between client and server.
    Proxy,
    /// A clock that the harness moves.
    Clock,
    /// A way to the server's data past the adapter.
    Raw,
    /// Consumers in processes of their own, which can be killed.
    ConsumerProcess,
    /// Settings that lead to where nothing listens.
    Unreachable,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] = [
        Self::Server,
        Self::Proxy,
        Self::Clock,
        Self::Raw,
        Self::ConsumerProcess,
        Self::Unreachable,
    ];

    /// The part in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server control",
            Self::Proxy => "network proxy",
            Self::Clock => "virtual clock",
            Self::Raw => "raw access",
            Self::ConsumerProcess => "consumer processes",
            Self::Unreachable => "unreachable address",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a check needs from broker and harness, and which flags it proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// All of these flags must be claimed.
    pub needs: Capabilities,
    /// None of these flags may be claimed: the check is about their absence.
    pub without: Capabilities,
    /// The flags whose claim it proves when it passes and refutes when it fails.
    pub proves: Capabilities,
    /// The flags without which it sees the broker refuse what they are for.
    pub refuses: Capabilities,
    /// Whether what is stored has to survive a restart of the server.
    pub durable: bool,
    /// The part of the harness that it uses.
    pub part: Option<Part>,
}

impl Gate {
    /// No needs: every adapter.
    pub const ANY: Self = Self {
        needs: Capabilities::empty(),
        without: Capabilities::empty(),
        proves: Capabilities::empty(),
        refuses: Capabilities::empty(),
        durable: false,
        part: None,
    };

    /// Needs all of `flags`, and proves them.
    #[must_use]
    pub const fn needs(flags: Capabilities) -> Self {
        Self {
            needs: flags,
            proves: flags,
            ..Self::ANY
        }
    }

    /// Is about brokers that claim none of `flags`.
    #[must_use]
    pub const fn without(mut self, flags: Capabilities) -> Self {
        self.without = flags;
        self
    }

    /// Is about brokers that claim none of `flags`, and sees them refuse what these are for.
    #[must_use]
    pub const fn refuses(mut self, flags: Capabilities) -> Self {
        self.without = flags;
        self.refuses = flags;
        self
    }

    /// Proves `flags` rather than all that it needs.
    #[must_use]
    pub const fn proves(mut self, flags: Capabilities) -> Self {
        self.proves = flags;
        self
    }

    /// Needs a broker that keeps its messages over a restart.
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Needs a part of the harness.
    #[must_use]
    pub const fn part(mut self, part: Part) -> Self {
        self.part = Some(part);
        self
    }
}

/// What a check answers.
pub type CheckResult<T = ()> = Result<T, Stop>;

/// Why a check ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The law is broken.
    Failed(String),
    /// The harness or the machine lacks something: neither passed nor failed.
    NotExercised(String),
    /// The broker does not have what the law is about, and need not have it.
    NotClaimed(String),
}

impl Stop {
    /// The law is broken, as seen at the caller's line.
    #[track_caller]
    #[must_use]
    pub fn failed(reason: impl fmt::Display) -> Self {
        Self::failed_at(Location::caller(), reason)
    }

    /// The law is broken, as seen at `place`.
    #[must_use]
    pub fn failed_at(place: &Location<'_>, reason: impl fmt::Display) -> Self {
        let file = place.file().rsplit('/').next().unwrap_or_default();
        Self::Failed(format!("{reason} [{file}:{}]", place.line()))
    }
}

impl From<broker_core::Error> for Stop {
    #[track_caller]
    fn from(error: broker_core::Error) -> Self {
        Self::failed(error)
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The law holds.
    Passed,
    /// The law is broken.
    Failed,
    /// The gate is met, but harness or machine lacks something.
    NotExercised,
    /// The broker does not claim what the law is about.
    NotClaimed,
}

impl Outcome {
    /// The outcome in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotExercised => "not exercised",
            Self::NotClaimed => "not claimed",
        }
    }
}

/// Adds a check to the catalogue: `check!(function, "section.law", Level, Gate, "The law in one sentence.");`
///
/// The function is an `async fn(&Trial) -> CheckResult`; the crate's documentation shows one.
macro_rules! check {
    ($run:ident, $id:literal, $level:ident, $gate:expr, $law:literal $(,)?) => {
        #[expect(
            unsafe_code,
            reason = "linkme places the static into the section it collects from"
        )]
        const _: () = {
            #[linkme::distributed_slice($crate::CHECKS)]
            static CHECK: $crate::Check = $crate::Check {
                id: $id,
                level: $crate::Level::$level,
                gate: $gate,
                law: $law,
                run: |t| Box::pin($run(t)),
            };
        };
    };
}
pub(crate) use check;

/// Fails the check with a formatted reason unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return ::std::result::Result::Err($crate::Stop::failed(::std::format!($($reason)+)));
        }
    };
}

/// Fails the check unless the first value equals the second, the expected one.
#[macro_export]
macro_rules! ensure_eq {
    ($actual:expr, $expected:expr, $($what:tt)+) => {
        match (&$actual, &$expected) {
            (actual, expected) => {
                if *actual != *expected {
                    return ::std::result::Result::Err($crate::Stop::failed(::std::format!(
                        "{}: expected {:?}, got {:?}",
                        ::std::format!($($what)+),
                        expected,
                        actual
                    )));
                }
            }
        }
    };
}

/// Ends the check as not exercised, with a formatted reason.
#[macro_export]
macro_rules! not_exercised {
    ($($reason:tt)+) => {
        return ::std::result::Result::Err($crate::Stop::NotExercised(::std::format!($($reason)+)))
    };
}
