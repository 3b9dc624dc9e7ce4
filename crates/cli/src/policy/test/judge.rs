//! Judges the suites of a plan, each group of equal setups by one policy.

use std::time::{Duration, Instant};

use pinfold::policy::LoadError;

use super::{
    Args,
    coverage::Coverage,
    hint,
    pack::Summary,
    plan::{PROBLEMS, Plan},
    progress::Progress,
};
use crate::{
    exit::Exit,
    fault::Fault,
    vectors::{
        Alone, Case, Content, Difference, Expect, ExpectedProblem, Judged, Runner, Setup, Suite,
    },
};

/// Everything that was judged.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The policy, for people.
    pub(super) policy: String,
    /// The suites, in the order of the plan.
    pub(super) suites: Vec<SuiteReport>,
    /// Cases that were left because one failed before.
    pub(super) skipped: usize,
    /// What no vector met, when that was asked for.
    pub(super) coverage: Option<Coverage>,
    /// What a pack adds.
    pub(super) pack: Option<Summary>,
}

/// What became of a suite.
#[derive(Debug)]
pub(super) struct SuiteReport {
    /// Its file, as people know it.
    pub(super) name: String,
    /// What it is about.
    pub(super) about: Option<String>,
    /// Its cases, in order.
    pub(super) cases: Vec<CaseReport>,
}

/// What became of a case.
#[derive(Debug)]
pub(super) struct CaseReport {
    /// Its name.
    pub(super) name: String,
    /// Its line, where that is known.
    pub(super) line: Option<usize>,
    /// What was asked: its URL or address.
    pub(super) asked: String,
    /// What was expected.
    pub(super) expected: Expected,
    /// How it was judged; none of a suite about settings.
    pub(super) judged: Option<Judged>,
    /// In what it differs; it has passed when there is nothing.
    pub(super) differences: Vec<Difference>,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// How long it took.
    pub(super) time: Duration,
}

/// What was expected of a case.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Expected {
    /// A verdict.
    Verdict(Expect),
    /// Problems of settings.
    Problems(Vec<ExpectedProblem>),
    /// That nothing is dialled but these addresses.
    Dials { only: Vec<String> },
}

impl Report {
    /// How many cases were judged.
    pub(super) fn count(&self) -> usize {
        self.cases().count()
    }

    /// How many of them failed.
    pub(super) fn failed(&self) -> usize {
        self.cases().filter(|case| case.has_failed()).count()
    }

    /// All cases, in order.
    pub(super) fn cases(&self) -> impl Iterator<Item = &CaseReport> {
        self.suites.iter().flat_map(|suite| &suite.cases)
    }

    /// How the process ends.
    pub(super) fn exit(&self) -> Exit {
        let coverage = self.coverage.as_ref().is_some_and(Coverage::has_failed);
        let pack = self.pack.as_ref().is_some_and(Summary::has_failed);
        if self.failed() > 0 || coverage || pack {
            Exit::Refused
        } else {
            Exit::Ok
        }
    }
}

impl SuiteReport {
    /// How many cases failed.
    pub(super) fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.has_failed()).count()
    }
}

impl CaseReport {
    /// Whether it differs from what was expected.
    pub(super) fn has_failed(&self) -> bool {
        !self.differences.is_empty()
    }
}

/// A policy that judges: in a guard, or alone.
#[derive(Debug)]
pub(super) enum Bench {
    Guarded(Box<Runner>),
    Alone(Box<Alone>),
}

impl Bench {
    pub(super) fn load(setup: &Setup, alone: bool) -> Result<Self, LoadError> {
        if alone {
            Ok(Self::Alone(Box::new(Alone::load(setup)?)))
        } else {
            Ok(Self::Guarded(Box::new(Runner::load(setup)?)))
        }
    }

    pub(super) async fn judge(&self, case: &Case) -> Judged {
        match self {
            Self::Guarded(runner) => runner.judge(case).await,
            Self::Alone(alone) => alone.judge(case).await,
        }
    }
}

/// Judges every suite. Suites with the same setup share a policy, one policy is loaded at a time.
pub(super) async fn run(plan: &Plan, args: &Args) -> anyhow::Result<Report> {
    let mut report = Report {
        policy: plan.subject.in_a_sentence(),
        suites: plan.suites.iter().map(|suite| empty(plan, suite)).collect(),
        ..Report::default()
    };
    let total = plan.suites.iter().map(size).sum();
    let progress = Progress::new("judging", total);
    for group in groups(plan) {
        judge_group(plan, args, &group, &mut report, &progress).await?;
    }
    report.skipped = total - report.count();
    Ok(report)
}

/// The suites that share a setup, by their place in the plan.
pub(super) struct Group {
    pub(super) setup: Setup,
    pub(super) suites: Vec<usize>,
}

/// Suites by setup, in the order in which each is first met.
pub(super) fn groups(plan: &Plan) -> Vec<Group> {
    let mut groups = Vec::<Group>::new();
    for (at, suite) in plan.suites.iter().enumerate() {
        let setup = plan.setup(suite);
        // Settings that are to be refused are tried on their own.
        let is_shared = |group: &&mut Group| is_same(&group.setup, &setup) && !suite.is_refused();
        match groups.iter_mut().find(is_shared) {
            Some(group) => group.suites.push(at),
            None => groups.push(Group {
                setup,
                suites: vec![at],
            }),
        }
    }
    groups
}

fn is_same(one: &Setup, other: &Setup) -> bool {
    (&one.settings, &one.grants, &one.nat64) == (&other.settings, &other.grants, &other.nat64)
}

async fn judge_group(
    plan: &Plan,
    args: &Args,
    group: &Group,
    report: &mut Report,
    progress: &Progress,
) -> anyhow::Result<()> {
    if args.fail_fast && report.failed() > 0 {
        return Ok(());
    }
    let begun = Instant::now();
    let loaded = Bench::load(&group.setup, args.policy_only);
    for at in &group.suites {
        let (Some(suite), Some(into)) = (plan.suites.get(*at), report.suites.get_mut(*at)) else {
            continue;
        };
        match (&suite.content, &loaded) {
            (Content::Problems(wanted), loaded) => {
                let found = problems(plan, suite, loaded.as_ref().map(drop))?;
                into.cases
                    .push(of_settings(wanted, &found, begun.elapsed()));
                progress.advance();
            }
            (Content::Cases(cases), Ok(bench)) => {
                let told = Told {
                    fail_fast: args.fail_fast,
                    codes: plan.codes(),
                };
                judge_cases(bench, cases, told, into, progress).await;
            }
            (Content::Cases(_), Err(error)) => return Err(unloadable(plan, suite, error)),
        }
    }
    Ok(())
}

/// What judging needs to know beside the cases.
#[derive(Clone, Copy)]
struct Told<'a> {
    fail_fast: bool,
    /// The codes that the project lists.
    codes: Option<&'a [String]>,
}

async fn judge_cases(
    bench: &Bench,
    cases: &[Case],
    told: Told<'_>,
    into: &mut SuiteReport,
    progress: &Progress,
) {
    for case in cases {
        let begun = Instant::now();
        let judged = bench.judge(case).await;
        into.cases
            .push(compared(case, judged, begun.elapsed(), told.codes));
        progress.advance();
        if told.fail_fast && into.failed() > 0 {
            return;
        }
    }
}

fn compared(case: &Case, judged: Judged, time: Duration, codes: Option<&[String]>) -> CaseReport {
    let expect = case.expect().cloned().unwrap_or_default();
    let differences = expect.differences(&judged);
    CaseReport {
        hint: hint::of(case, &expect, &judged, &differences, codes),
        name: case.name().into_owned(),
        line: case.line,
        asked: case.asked().to_owned(),
        expected: Expected::Verdict(expect),
        judged: Some(judged),
        differences,
        time,
    }
}

/// The problems of settings that were tried; none when they were taken.
fn problems(
    plan: &Plan,
    suite: &Suite,
    loaded: Result<(), &LoadError>,
) -> anyhow::Result<Vec<pinfold::policy::Problem>> {
    match loaded {
        Ok(()) => Ok(Vec::new()),
        Err(LoadError::Settings(problems)) => Ok(problems.clone()),
        Err(error) => Err(unloadable(plan, suite, error)),
    }
}

fn of_settings(
    wanted: &[ExpectedProblem],
    found: &[pinfold::policy::Problem],
    time: Duration,
) -> CaseReport {
    let differences = ExpectedProblem::differences(wanted, found);
    CaseReport {
        name: PROBLEMS.to_owned(),
        line: None,
        asked: "settings".to_owned(),
        expected: Expected::Problems(wanted.to_vec()),
        judged: None,
        hint: (!differences.is_empty()).then(|| hint::of_settings(found)),
        differences,
        time,
    }
}

/// A policy that cannot judge is no failed case: nothing was tested.
fn unloadable(plan: &Plan, suite: &Suite, error: &LoadError) -> anyhow::Error {
    let LoadError::Settings(_) = error else {
        return plan.subject.name(error.clone());
    };
    let from = match suite.settings {
        Some(_) => Some(suite.file.display().to_string()),
        None => plan.default_from.clone(),
    };
    let told = anyhow::Error::from(error.clone());
    match from {
        Some(from) => told.context(format!("cannot use the settings in `{from}`")),
        None => told.context(Fault::new(
            "no settings were given, and the policy does not do without",
            "name them with `--settings FILE`, as `settings` in the project file, or in the vectors",
        )),
    }
}

fn empty(plan: &Plan, suite: &Suite) -> SuiteReport {
    SuiteReport {
        name: plan.shown(&suite.file).display().to_string(),
        about: suite.about.clone(),
        cases: Vec::new(),
    }
}

fn size(suite: &Suite) -> usize {
    match &suite.content {
        Content::Cases(cases) => cases.len(),
        Content::Problems(_) => 1,
    }
}
