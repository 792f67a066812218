//! The suite as a test program: one line per check, with cargo's own filters.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use broker_core::registry::Provider;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::execute::execute;
use crate::report::{CheckReport, Report};
use crate::{Level, Outcome, Part, Suite, UrlHarness};

/// The level, where no `--level` names one.
const LEVEL: &str = "BROKER_CONFORMANCE_LEVEL";

/// The seed of random choices, to run again what failed.
const SEED: &str = "BROKER_CONFORMANCE_SEED";

/// Files that the report is written to, as JSON or as JUnit XML by their extension; a folder, which ends in a slash, gets a
/// JSON file of the run's own name.
const REPORT: &str = "BROKER_CONFORMANCE_REPORT";

/// Certifies the adapter `provider` on the server at `url`, as the main function of a test without a harness.
///
/// `url` is called once. [`Suite::new`] with a [`Harness`](crate::Harness) of one's own can say more.
///
/// ```no_run
/// # use broker_core::registry::Provider;
/// # fn run(provider: &'static Provider) -> std::process::ExitCode {
/// broker_testkit::certify(provider, || "dir:///tmp/certify".to_owned())
/// # }
/// ```
pub fn certify(provider: &'static Provider, url: impl FnOnce() -> String) -> ExitCode {
    let suite = Suite::new(UrlHarness::new(provider, url()));
    Part::ALL
        .into_iter()
        .fold(suite, |suite, part| {
            suite.absent(part, "certified by its URL alone")
        })
        .main()
}

impl Suite {
    /// Runs as the main function of a test program: reads its arguments, prints one line per check, answers its code.
    ///
    /// `cargo test -p my-adapter --test conformance -- ack. --level full` runs the full level of one section. The
    /// variable `BROKER_CONFORMANCE_LEVEL` sets the level too, `BROKER_CONFORMANCE_SEED` the seed of random choices, and
    /// `BROKER_CONFORMANCE_REPORT` names files for the report, `.json` or `.xml`, separated by commas, or a folder
    /// (`reports/`) that gets one JSON file for each provider, mode, server and level.
    #[must_use]
    pub fn main(self) -> ExitCode {
        match self.try_main(std::env::args().collect()) {
            Ok(code) => code,
            Err(error) => {
                say(&format!("conformance: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn try_main(mut self, arguments: Vec<String>) -> Result<ExitCode, String> {
        let (level, rest) = level_of(arguments)?;
        let mut arguments = Arguments::from_iter(rest);
        arguments.test_threads.get_or_insert(self.threads);
        if let Ok(seed) = std::env::var(SEED) {
            let seed = seed
                .parse()
                .map_err(|_| format!("{SEED}: `{seed}` is not a number"))?;
            self = self.seed(seed);
        }
        let start = Instant::now();
        let context = Arc::new(
            self.context(level, !arguments.list)
                .map_err(|error| error.to_string())?,
        );
        let done = Arc::new(Mutex::new(Vec::new()));
        let trials = self
            .checks(&context)
            .into_iter()
            .map(|check| {
                let (context, done) = (Arc::clone(&context), Arc::clone(&done));
                Trial::ignorable_test(check.id, move || {
                    let report = execute(&context, check);
                    let answer = answer_of(&report, context.seed);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                    answer
                })
            })
            .collect();
        let whole = arguments.filter.is_none() && arguments.skip.is_empty();
        let conclusion = libtest_mimic::run(&arguments, trials);
        if arguments.list {
            return Ok(conclusion.exit_code());
        }
        let checks = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
        let report = self.report(&context, checks, whole, start);
        say(&report.summary());
        write_files(&report)?;
        // With a filter nothing may match, which is for the caller to see; a whole run has to be good as a whole.
        Ok(if whole {
            report.exit_code()
        } else {
            conclusion.exit_code()
        })
    }
}

/// What the test runner shows of a check.
fn answer_of(report: &CheckReport, seed: u64) -> Result<Completion, Failed> {
    let reason = report.reason.as_deref().unwrap_or_default();
    match report.outcome {
        Outcome::Passed => Ok(Completion::Completed),
        Outcome::Failed => Err(Failed::from(format!(
            "{reason}\nlaw: {}\nagain with: {SEED}={seed}",
            report.law
        ))),
        other => Ok(Completion::ignored_with(format!("{}: {reason}", other.as_str()))),
    }
}

/// Takes `--level LEVEL` out of the arguments, which are the test runner's own otherwise.
fn level_of(arguments: Vec<String>) -> Result<(Level, Vec<String>), String> {
    let mut level = std::env::var(LEVEL).ok();
    let mut rest = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--level" {
            level = Some(arguments.next().ok_or("--level needs quick, full or chaos")?);
        } else if let Some(given) = argument.strip_prefix("--level=") {
            level = Some(given.to_owned());
        } else {
            rest.push(argument);
        }
    }
    let level = level.map_or(Ok(Level::Quick), |level| level.parse())?;
    Ok((level, rest))
}

fn write_files(report: &Report) -> Result<(), String> {
    let Ok(files) = std::env::var(REPORT) else {
        return Ok(());
    };
    for file in files.split(',').filter(|file| !file.is_empty()) {
        let file = &if file.ends_with('/') {
            std::fs::create_dir_all(file)
                .map_err(|error| format!("{REPORT}: `{file}` can't be made: {error}"))?;
            format!("{file}{}", report.file_name())
        } else {
            file.to_owned()
        };
        let text = match file.rsplit_once('.') {
            Some((_, "json")) => report.to_json(),
            Some((_, "xml")) => report.to_junit(),
            _ => return Err(format!("{REPORT}: `{file}` ends in neither .json nor .xml")),
        };
        let text = text.map_err(|error| error.to_string())?;
        std::fs::write(file, text)
            .map_err(|error| format!("{REPORT}: `{file}` can't be written: {error}"))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a test program talks on standard output")]
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_taken_out_of_the_runners_arguments() {
        let split = |words: &str| level_of(words.split(' ').map(str::to_owned).collect());
        let rest = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            split("test ack. --level full --list").unwrap(),
            (Level::Full, rest("test ack. --list"))
        );
        assert_eq!(split("test --level=chaos").unwrap(), (Level::Chaos, rest("test")));
        assert!(split("test --level").is_err());
        assert_eq!(
            split("test --level fast").unwrap_err(),
            "unknown level `fast`; quick, full or chaos is expected"
        );
    }
}
