//! The report for CI systems.

use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{CheckReport, Report};
use crate::Outcome;

impl Report {
    /// The report as JUnit XML. A check that was not exercised is an error there, unless by decision: it is not green.
    ///
    /// # Errors
    ///
    /// Those of the serializer, which do not happen.
    pub fn to_junit(&self) -> Result<String> {
        let mut suite = TestSuite::new(format!("{} {}", self.provider, self.level));
        suite.set_time(Duration::from_millis(self.ms));
        suite.add_test_cases(self.checks.iter().map(|check| self.case(check)));
        let mut status = TestCaseStatus::success();
        if !self.problems.is_empty() {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(self.problems.join("; "));
        }
        suite.add_test_case(TestCase::new("caps.proved", status));
        let mut report = quick_junit::Report::new("broker conformance");
        report.add_test_suite(suite);
        report.to_string().map_err(|error| {
            Error::new(ErrorKind::Unexpected, "the report can't be written as XML").source(error)
        })
    }

    fn case(&self, check: &CheckReport) -> TestCase {
        let allowed = || {
            self.allowed
                .iter()
                .any(|line| line.starts_with(&format!("{}:", check.id)))
        };
        let mut status = match check.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Outcome::NotExercised if !allowed() => TestCaseStatus::non_success(NonSuccessKind::Error),
            Outcome::NotExercised | Outcome::NotClaimed => TestCaseStatus::skipped(),
        };
        if let Some(reason) = &check.reason {
            status.set_message(format!("{}: {reason}", check.outcome.as_str()));
        }
        let mut case = TestCase::new(check.id, status);
        case.set_time(Duration::from_millis(check.ms));
        case
    }
}
