//! The report for programs: one line of JSON a case, one for all.

use serde::Serialize;

use super::{
    coverage::Coverage,
    judge::{CaseReport, Expected, Report},
    pack::Summary,
};
use crate::{
    output::Output,
    vectors::{Difference, Judged},
};

/// Writes the report.
pub(super) fn write(report: &Report, out: &mut Output) -> anyhow::Result<()> {
    for suite in &report.suites {
        for case in &suite.cases {
            out.json(&Line::of(&suite.name, case))?;
        }
    }
    out.json(&Total::of(report))
}

/// A case.
#[derive(Serialize)]
struct Line<'a> {
    suite: &'a str,
    case: &'a str,
    line: Option<usize>,
    passed: bool,
    expected: &'a Expected,
    got: Option<&'a Judged>,
    differences: &'a [Difference],
    hint: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(suite: &'a str, case: &'a CaseReport) -> Self {
        Self {
            suite,
            case: &case.name,
            line: case.line,
            passed: !case.has_failed(),
            expected: &case.expected,
            got: case.judged.as_ref(),
            differences: &case.differences,
            hint: case.hint.as_deref(),
        }
    }
}

/// All of them.
#[derive(Serialize)]
struct Total<'a> {
    cases: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<&'a Coverage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<&'a Summary>,
}

impl<'a> Total<'a> {
    fn of(report: &'a Report) -> Self {
        let (cases, failed) = (report.count(), report.failed());
        Self {
            cases,
            passed: cases - failed,
            failed,
            skipped: report.skipped,
            coverage: report.coverage.as_ref(),
            pack: report.pack.as_ref(),
        }
    }
}
