//! How a command ends.

use std::fmt;
use std::io;
use std::process::ExitCode;

use broker_core::{Error, ErrorKind};

/// How a command ended, as its exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All was done.
    Success = 0,
    /// It was tried and failed, or a check did not hold.
    Failure = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// The server can't be reached, or did not answer in time.
    Connection = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command stopped: its exit code, and the line for standard error.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) exit: Exit,
    pub(crate) line: Option<String>,
}

impl Stop {
    /// The command line is wrong.
    pub(crate) fn usage(line: impl fmt::Display) -> Self {
        Self::because(Exit::Usage, line)
    }

    /// It failed.
    pub(crate) fn failure(line: impl fmt::Display) -> Self {
        Self::because(Exit::Failure, line)
    }

    /// Everything there was to say has been said.
    pub(crate) const fn quietly(exit: Exit) -> Self {
        Self { exit, line: None }
    }

    fn because(exit: Exit, line: impl fmt::Display) -> Self {
        Self {
            exit,
            line: Some(one_line(&line.to_string())),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::because(exit_of(&error), &error)
    }
}

impl From<io::Error> for Stop {
    /// Nobody reads on: `broker tail orders | head -1` is not a failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::quietly(Exit::Success)
        } else {
            Self::failure(error)
        }
    }
}

/// The exit code of an error.
pub(crate) fn exit_of(error: &Error) -> Exit {
    match error.kind() {
        ErrorKind::Config | ErrorKind::InvalidName => Exit::Usage,
        ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::CircuitOpen => Exit::Connection,
        _ => Exit::Failure,
    }
}

/// The text without its line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
