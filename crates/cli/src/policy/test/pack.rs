//! Runs a pack: nothing may be dialled but what is known to be good.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Args, hint,
    judge::{CaseReport, Expected, Report, SuiteReport},
    plan::Plan,
    progress::Progress,
};
use crate::{
    explain,
    fault::Fault,
    output::{BAD, LABEL, Output},
    policy::pack::{BASE_HINT, Base, Name, Template, is_of_a_name, templates},
    text::Printable,
    vectors::{Alone, Case, Difference, Judged, Runner, Setup, Suite, Want},
};

/// What the run of a pack says beside its cases.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The URL that the cases are derived from.
    base: String,
    /// Why the cases prove little: the policy refuses even the base.
    vacuous: Option<String>,
    /// How many cases the policy alone would have let through, by group.
    held_by_floor: BTreeMap<String, usize>,
}

impl Summary {
    /// A pack that proves nothing has not passed.
    pub(super) fn has_failed(&self) -> bool {
        self.vacuous.is_some()
    }
}

/// Runs a pack.
///
/// # Errors
///
/// A base that is no URL of a name, and a policy that does not load.
pub(super) async fn run(pack: Name, plan: &Plan, args: &Args) -> anyhow::Result<Report> {
    let base = Base::of(args.base.as_deref(), first_allowed(plan))?;
    let setup = setup(&base, plan);
    let guarded = Runner::load(&setup).map_err(|error| plan.subject.name(error))?;
    let alone = Alone::load(&setup).map_err(|error| plan.subject.name(error))?;
    let mut report = Report {
        policy: plan.subject.in_a_sentence(),
        ..Report::default()
    };
    let mut held_by_floor = BTreeMap::<String, usize>::new();
    let templates = templates(pack)?;
    let progress = Progress::new("judging", templates.len());
    for template in &templates {
        let suite = format!("{}/{}", pack.as_str(), template.group);
        if args
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.takes(&template.id))
        {
            continue;
        }
        let (case, only) = base.case(template)?;
        let begun = Instant::now();
        let judged = guarded.judge(&case).await;
        let case = compared(&case, template, judged, only, begun.elapsed());
        if !case.has_failed() && alone_lets_through(&alone, template, &base).await? {
            *held_by_floor.entry(template.group.clone()).or_default() += 1;
        }
        of_group(&mut report, suite).cases.push(case);
        progress.advance();
    }
    if report.count() == 0 {
        return Err(Fault::new(
            "no case of the pack is called like that",
            "leave `--filter` out",
        )
        .into());
    }
    report.pack = Some(Summary {
        vacuous: refusal(&base, &guarded).await?,
        base: base.url,
        held_by_floor,
    });
    Ok(report)
}

fn setup(base: &Base<'_>, plan: &Plan) -> Setup {
    match base.suite() {
        Some(suite) => Setup {
            grants: Vec::new(),
            ..plan.setup(suite)
        },
        None => plan.default_setup(),
    }
}

/// Why the policy refuses the base itself, if it does.
async fn refusal(base: &Base<'_>, runner: &Runner) -> anyhow::Result<Option<String>> {
    let judged = runner.judge(&base.itself()?).await;
    Ok(judged.denial.as_ref().map(explain::rule))
}

/// The first vector that is expected to be allowed, for a name.
fn first_allowed(plan: &Plan) -> Option<(&Suite, &Case)> {
    let cases = plan.suites.iter().flat_map(|suite| {
        let cases = suite.cases().iter();
        cases.map(move |case| (suite, case))
    });
    let is_allowed = |case: &Case| {
        case.expect()
            .is_some_and(|expect| expect.verdict == Want::Allow)
    };
    cases
        .into_iter()
        .find(|(_, case)| is_allowed(case) && is_of_a_name(case))
}

fn compared(
    case: &Case,
    template: &Template,
    judged: Judged,
    only: Vec<String>,
    time: Duration,
) -> CaseReport {
    let bad = dialled(&judged, &only);
    let differences = if bad.is_empty() {
        Vec::new()
    } else {
        vec![difference(&only, &bad)]
    };
    CaseReport {
        name: template.id.clone(),
        line: None,
        asked: case.asked().to_owned(),
        expected: Expected::Dials { only },
        judged: Some(judged),
        hint: (!differences.is_empty()).then(|| hint::OF_PACK.to_owned()),
        differences,
        time,
    }
}

/// What would be dialled and is not known to be good.
fn dialled(judged: &Judged, only: &[String]) -> Vec<String> {
    let survivors = judged.survivors().map(|judged| judged.address.to_string());
    survivors
        .filter(|address| !only.contains(address))
        .collect()
}

fn difference(only: &[String], bad: &[String]) -> Difference {
    Difference {
        field: "dials".into(),
        expected: if only.is_empty() {
            "nothing".into()
        } else {
            only.join(", ")
        },
        got: bad.join(", "),
    }
}

async fn alone_lets_through(
    alone: &Alone,
    template: &Template,
    base: &Base<'_>,
) -> anyhow::Result<bool> {
    let (case, only) = base.case(template)?;
    Ok(!dialled(&alone.judge(&case).await, &only).is_empty())
}

fn of_group(report: &mut Report, name: String) -> &mut SuiteReport {
    let at = report.suites.iter().position(|suite| suite.name == name);
    let at = at.unwrap_or_else(|| {
        report.suites.push(SuiteReport {
            name,
            about: None,
            cases: Vec::new(),
        });
        report.suites.len() - 1
    });
    &mut report.suites[at]
}

/// Writes what a pack says beside its cases.
pub(super) fn write(summary: &Summary, out: &mut Output) -> anyhow::Result<()> {
    out.line(format_args!(
        "{LABEL}from{LABEL:#} {}",
        Printable(&summary.base)
    ))?;
    let held: usize = summary.held_by_floor.values().sum();
    out.line(format_args!(
        "held by the floor alone: {held}{}",
        groups(&summary.held_by_floor)
    ))?;
    let Some(why) = &summary.vacuous else {
        return Ok(());
    };
    let why = Printable(why);
    out.line(format_args!(
        "\n{BAD}failed{BAD:#}: this proves little, the policy refuses the base itself {why}"
    ))?;
    Ok(out.line(format_args!("  {LABEL}hint{LABEL:#}: {BASE_HINT}"))?)
}

fn groups(held: &BTreeMap<String, usize>) -> String {
    let groups: Vec<_> = held
        .iter()
        .map(|(group, count)| format!("{group} {count}"))
        .collect();
    match groups.is_empty() {
        true => String::new(),
        false => format!(" ({})", groups.join(", ")),
    }
}
