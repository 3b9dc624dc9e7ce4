//! The report for people: a table of suites, each failure with what differs, and one line for all.

use std::fmt;

use super::{
    coverage::Coverage,
    judge::{CaseReport, Report, SuiteReport},
    pack,
};
use crate::{
    explain,
    output::{BAD, GOOD, LABEL, Output},
    text::{Printable, count, redacted},
};

/// Writes the report, with at most `most` failures.
pub(super) fn write(report: &Report, most: usize, out: &mut Output) -> anyhow::Result<()> {
    out.line(format_args!("{}\n", Printable(&report.policy)))?;
    suites(report, out)?;
    failures(report, most, out)?;
    if let Some(coverage) = &report.coverage {
        coverage_of(coverage, out)?;
    }
    out.line(format_args!("\n{}", total(report)))?;
    if let Some(pack) = &report.pack {
        pack::write(pack, out)?;
    }
    Ok(())
}

fn suites(report: &Report, out: &mut Output) -> anyhow::Result<()> {
    let names = report.suites.iter().map(|suite| suite.name.chars().count());
    let width = names.chain([SUITE.len()]).max().unwrap_or(0);
    out.line(format_args!(
        "{LABEL}{SUITE:width$}  cases  failed{LABEL:#}"
    ))?;
    for suite in &report.suites {
        let (cases, failed) = (suite.cases.len(), suite.failed());
        let name = Printable(&suite.name).to_string();
        let style = if failed > 0 { BAD } else { GOOD };
        out.line(format_args!(
            "{name:width$}  {cases:>5}  {style}{failed:>6}{style:#}"
        ))?;
    }
    Ok(())
}

fn failures(report: &Report, most: usize, out: &mut Output) -> anyhow::Result<()> {
    let failed = report.suites.iter().flat_map(|suite| {
        let failed = suite.cases.iter().filter(|case| case.has_failed());
        failed.map(move |case| (suite, case))
    });
    for (suite, case) in failed.take(most) {
        failure(suite, case, out)?;
    }
    match report.failed().saturating_sub(most) {
        0 => Ok(()),
        more => Ok(out.line(format_args!(
            "\nand {more} more that failed: `--show` shows more, `--json` all"
        ))?),
    }
}

fn failure(suite: &SuiteReport, case: &CaseReport, out: &mut Output) -> anyhow::Result<()> {
    let line = case
        .line
        .map_or_else(String::new, |line| format!(":{line}"));
    let (file, name) = (Printable(&suite.name), Printable(&case.name));
    out.line(format_args!("\n{BAD}failed{BAD:#} {file}{line}: {name}"))?;
    let asked = redacted(&case.asked);
    row(out, "asked", Printable(&asked))?;
    let rows = Rows::of(case);
    for difference in rows.lines() {
        out.line(Printable(&difference))?;
    }
    if let Some(rule) = rule(case) {
        row(out, "rule", Printable(&rule))?;
    }
    if let Some(hint) = &case.hint {
        out.line(format_args!("  {LABEL}hint{LABEL:#}: {}", Printable(hint)))?;
    }
    Ok(())
}

/// What decided, in the policy's or the host's own words.
pub(super) fn rule(case: &CaseReport) -> Option<String> {
    let judged = case.judged.as_ref()?;
    let denial = judged.denial.as_ref()?;
    let hop = match judged.hop {
        0 => String::new(),
        hop => format!(" of redirect {hop}"),
    };
    Some(format!(
        "refused at stage `{}`{hop} {}",
        denial.stage(),
        explain::rule(denial)
    ))
}

/// Differences in columns.
struct Rows<'a> {
    case: &'a CaseReport,
    field: usize,
    expected: usize,
}

impl<'a> Rows<'a> {
    fn of(case: &'a CaseReport) -> Self {
        let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let all = || case.differences.iter();
        Self {
            field: widest(&mut all().map(|one| one.field.chars().count())),
            expected: widest(&mut all().map(|one| one.expected.chars().count())),
            case,
        }
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let (field, expected) = (self.field.max(LABELS), self.expected);
        self.case.differences.iter().map(move |one| {
            format!(
                "  {:field$}  expected {:expected$}  got {}",
                one.field, one.expected, one.got
            )
        })
    }
}

fn coverage_of(coverage: &Coverage, out: &mut Output) -> anyhow::Result<()> {
    out.line("")?;
    for line in coverage.lines() {
        out.line(Printable(&line))?;
    }
    Ok(())
}

fn total(report: &Report) -> String {
    let (all, failed) = (report.count(), report.failed());
    let mut text = format!(
        "{}: {} as expected",
        count(all, "case", "cases"),
        all - failed
    );
    if failed > 0 {
        text.push_str(&format!(", {BAD}{failed} failed{BAD:#}"));
    }
    if report.skipped > 0 {
        text.push_str(&format!(", {} not judged", report.skipped));
    }
    text
}

fn row(out: &mut Output, label: &str, value: impl fmt::Display) -> anyhow::Result<()> {
    Ok(out.line(format_args!("  {LABEL}{label:LABELS$}{LABEL:#}  {value}"))?)
}

const SUITE: &str = "suite";

/// The width of labels.
const LABELS: usize = 7;
