//! The report for CI: JUnit XML.

use std::path::Path;

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{
    judge::{CaseReport, Report, SuiteReport},
    table,
};
use crate::{files, text::redacted, vectors::Difference};

/// Writes the report to a file, which is there completely or not at all.
///
/// # Errors
///
/// A file that cannot be written.
pub(super) fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    let text = of(report).to_string()?;
    files::replace(file, text.as_bytes())
}

fn of(report: &Report) -> Junit {
    let mut junit = Junit::new("pinfold policy test");
    junit.add_test_suites(report.suites.iter().map(suite));
    if let Some(coverage) = &report.coverage {
        let mut suite = TestSuite::new("coverage");
        let failures: Vec<_> = coverage.failures().collect();
        let mut case = TestCase::new("denial codes", status(&failures.join("\n"), "not covered"));
        case.set_classname("coverage");
        suite.add_test_case(case);
        junit.add_test_suite(suite);
    }
    junit
}

fn suite(report: &SuiteReport) -> TestSuite {
    let mut suite = TestSuite::new(report.name.as_str());
    suite.add_test_cases(report.cases.iter().map(|one| case(&report.name, one)));
    if let Some(about) = &report.about {
        suite.add_property(("about", about.as_str()));
    }
    suite.set_time(report.cases.iter().map(|case| case.time).sum());
    suite
}

fn case(suite: &str, report: &CaseReport) -> TestCase {
    let differences = report.differences.iter().map(difference);
    let asked = format!("asked: {}", redacted(&report.asked));
    let text: Vec<_> = std::iter::once(asked)
        .chain(differences)
        .chain(table::rule(report))
        .chain(hint(report))
        .collect();
    let text = if report.has_failed() {
        text.join("\n")
    } else {
        String::new()
    };
    let first = report
        .differences
        .first()
        .map(difference)
        .unwrap_or_default();
    let mut case = TestCase::new(report.name.as_str(), status(&text, &first));
    case.set_classname(suite).set_time(report.time);
    case
}

fn hint(report: &CaseReport) -> Option<String> {
    report.hint.as_ref().map(|hint| format!("hint: {hint}"))
}

fn difference(difference: &Difference) -> String {
    let Difference {
        field,
        expected,
        got,
    } = difference;
    format!("{field}: expected {expected}, got {got}")
}

/// A failure when there is something to say.
fn status(text: &str, message: &str) -> TestCaseStatus {
    if text.is_empty() {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message).set_description(text);
    status
}
