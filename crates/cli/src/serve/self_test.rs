//! The vectors that policies must pass before the gateway swaps them in.
//!
//! They are judged as `pinfold policy test` judges them: by a real guard, floor included, whose resolver answers what
//! each vector says. Nothing is looked up and nothing is connected to. They are read anew for each candidate.

use std::{path::PathBuf, sync::Arc};

use pinfold::{GuardBuilder, policy::LoadError};
use pinfold_gateway::{Candidate, SelfTest, Untested};

use crate::{
    options,
    policy::questions,
    vectors::{Caller, Case, Content, Difference, ExpectedProblem, Runner, Suite},
};

/// A candidate passes when it, or the whole chain, judges every vector of its files and folders as expected. Without
/// any it passes.
pub(super) fn self_test() -> SelfTest {
    Arc::new(judge)
}

fn judge(candidate: &Candidate) -> Result<(), Untested> {
    let vectors = candidate.vectors();
    if vectors.is_empty() {
        return Ok(());
    }
    let suites = read(vectors).map_err(|error| failed(format!("{error:#}")))?;
    let mut report = Report::default();
    for group in groups(&suites) {
        judge_group(&group, candidate, &mut report)?;
    }
    report.outcome()
}

fn read(vectors: &[PathBuf]) -> anyhow::Result<Vec<Suite>> {
    let suites = questions::suites(vectors)?;
    anyhow::ensure!(
        !suites.is_empty(),
        "the folders of `policy.vectors` hold no vectors"
    );
    Suite::each_expects(&suites)?;
    Ok(suites)
}

/// Suites that are judged by one guard, in the order in which each is first met. Settings that are to be refused are
/// tried on their own.
fn groups(suites: &[Suite]) -> Vec<Vec<&Suite>> {
    let mut groups = Vec::<Vec<&Suite>>::new();
    for suite in suites {
        let shares = |group: &&mut Vec<&Suite>| {
            let first = group.first().filter(|first| is_same(first, suite));
            first.is_some() && !suite.is_refused()
        };
        match groups.iter_mut().find(shares) {
            Some(group) => group.push(suite),
            None => groups.push(vec![suite]),
        }
    }
    groups
}

fn is_same(one: &Suite, other: &Suite) -> bool {
    !one.is_refused()
        && (&one.settings, &one.grants, &one.nat64)
            == (&other.settings, &other.grants, &other.nat64)
}

fn judge_group(
    suites: &[&Suite],
    candidate: &Candidate,
    report: &mut Report,
) -> Result<(), Untested> {
    let Some(first) = suites.first() else {
        return Ok(());
    };
    let loaded = load(first, candidate)?;
    for suite in suites {
        match (&suite.content, &loaded) {
            (Content::Cases(cases), Ok(runner)) => judge_cases(suite, cases, runner, report)?,
            (Content::Cases(_), Err(error)) => return Err(unloadable(suite, error)),
            (Content::Problems(wanted), Ok(_)) => report.settings(suite, wanted, &[]),
            (Content::Problems(wanted), Err(LoadError::Settings(found))) => {
                report.settings(suite, wanted, found);
            }
            (Content::Problems(_), Err(error)) => return Err(error.clone().into()),
        }
    }
    Ok(())
}

/// A guard of the candidate; under the settings of the suite, when it brings some.
fn load(suite: &Suite, candidate: &Candidate) -> Result<Result<Runner, LoadError>, Untested> {
    let under = match &suite.settings {
        None => candidate.clone(),
        Some(settings) => candidate.under(settings).ok_or_else(|| {
            let file = suite.file.display();
            failed(format!(
                "`{file}` brings settings of its own, and several layers judge: nobody knows whose they are"
            ))
        })?,
    };
    let build = |guard: GuardBuilder| {
        let guard = under.of_guard(guard.limits(options::limits()));
        let guard = guard.grants(suite.grants.iter().copied());
        guard.nat64(suite.nat64.iter().copied()).build()
    };
    Ok(Runner::of(Caller::default(), build))
}

fn judge_cases(
    suite: &Suite,
    cases: &[Case],
    runner: &Runner,
    report: &mut Report,
) -> Result<(), Untested> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| failed(format!("cannot judge vectors: {error}")))?;
    for case in cases {
        let judged = runtime.block_on(runner.judge(case));
        let expect = case.expect().cloned().unwrap_or_default();
        report.add(suite, &case.name(), &expect.differences(&judged));
    }
    Ok(())
}

/// The candidate's own settings are wrong, or those of a suite.
fn unloadable(suite: &Suite, error: &LoadError) -> Untested {
    match suite.settings {
        Some(_) => failed(format!("`{}`: {error}", suite.file.display())),
        None => error.clone().into(),
    }
}

fn failed(message: String) -> Untested {
    Untested::Failed(message)
}

/// What was judged, and the first of what was not as expected.
#[derive(Default)]
struct Report {
    judged: usize,
    failed: usize,
    shown: Vec<String>,
}

impl Report {
    fn add(&mut self, suite: &Suite, name: &str, differences: &[Difference]) {
        self.judged += 1;
        let Some(first) = differences.first() else {
            return;
        };
        self.failed += 1;
        if self.shown.len() < SHOWN {
            let file = suite.file.file_name().unwrap_or(suite.file.as_os_str());
            let file = file.to_string_lossy();
            let Difference {
                field,
                expected,
                got,
            } = first;
            let line = format!("`{name}` ({file}): {field} is `{got}` instead of `{expected}`");
            self.shown.push(line);
        }
    }

    fn settings(
        &mut self,
        suite: &Suite,
        wanted: &[ExpectedProblem],
        found: &[pinfold::policy::Problem],
    ) {
        let differences = ExpectedProblem::differences(wanted, found);
        self.add(suite, "the settings are refused", &differences);
    }

    fn outcome(self) -> Result<(), Untested> {
        let Self {
            judged,
            failed: number,
            shown,
        } = self;
        match number {
            0 => Ok(()),
            _ => Err(failed(format!(
                "{number} of {judged} vectors failed: {}",
                shown.join("; ")
            ))),
        }
    }
}

/// Failed vectors that a message names.
const SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pinfold::policy::Source;
    use pinfold_gateway::CandidateLayer;
    use serde_json::{Value, json};

    use super::*;

    const VECTORS: &str = r#"
        [[case]]
        name = "a web site"
        url = "https://a.example/"
        resolves_to = ["93.184.216.34"]
        expect = "allow"

        [[case]]
        name = "another port"
        url = "https://a.example:8443/"
        resolves_to = ["93.184.216.34"]
        expect = { verdict = "deny", code = "port-denied" }
    "#;

    const OF_SETTINGS: &str = r#"
        settings = { ports = ["x"] }
        [[problems]]
        path = "/ports/0"
    "#;

    fn candidate(layers: &[(&str, Value)]) -> Candidate {
        Candidate::of(
            layers.iter().map(|(name, settings)| {
                CandidateLayer::new(*name, Source::Shipped, settings.clone())
            }),
        )
    }

    fn outcome(files: &[(&str, &str)], candidate: &Candidate) -> Result<(), Untested> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        judge(&candidate.tested_by(&[dir.path().to_owned()]))
    }

    #[test]
    fn a_candidate_passes_when_it_judges_every_vector_as_expected() {
        let web = || json!({"ports": [443]});
        let one = |settings: Value| candidate(&[("policy", settings)]);
        let chain = |team: Value| candidate(&[("organisation", json!({})), ("team", team)]);
        let own = format!("settings = {{ ports = [443] }}\n{VECTORS}");
        let vectors = &[("a.toml", VECTORS)][..];
        type Files<'a> = &'a [(&'a str, &'a str)];
        let table: [(&str, Files<'_>, Candidate, &str); 9] = [
            ("as expected", vectors, one(web()), ""),
            (
                "too open",
                vectors,
                one(json!({})),
                "1 of 2 vectors failed: `another port` (a.toml): verdict is `allow` instead of `deny`",
            ),
            ("of a chain the whole", vectors, chain(web()), ""),
            (
                "a chain that is too open",
                vectors,
                chain(json!({})),
                "1 of 2 vectors failed",
            ),
            (
                "settings of the suite",
                &[("b.toml", &own)],
                one(json!({})),
                "",
            ),
            (
                "of nobody in a chain",
                &[("b.toml", &own)],
                chain(web()),
                "nobody knows whose they are",
            ),
            (
                "settings that are refused",
                &[("c.toml", OF_SETTINGS)],
                one(web()),
                "",
            ),
            ("none", &[], one(web()), "hold no vectors"),
            (
                "no vectors",
                &[("d.toml", "[[case]]")],
                one(web()),
                "d.toml",
            ),
        ];
        for (row, files, candidate, said) in table {
            match (outcome(files, &candidate), said) {
                (Ok(()), "") => {}
                (Err(untested), said) if !said.is_empty() => {
                    assert!(untested.to_string().contains(said), "{row}: {untested}");
                }
                (other, _) => panic!("{row}: {other:?}"),
            }
        }
    }

    #[test]
    fn settings_that_are_refused_fail_no_vector() {
        let wrong = candidate(&[("policy", json!({"ports": "all"}))]);
        let untested = outcome(&[("a.toml", VECTORS)], &wrong).unwrap_err();
        assert!(
            matches!(untested, Untested::Load(LoadError::Settings(_))),
            "{untested}"
        );
    }

    #[test]
    fn without_vectors_there_is_nothing_to_fail() {
        let candidate = candidate(&[("policy", json!({}))]);
        assert_eq!(self_test()(&candidate), Ok(()));
        let gone = candidate.tested_by(&[Path::new("/nowhere/at-all").to_owned()]);
        let untested = judge(&gone).unwrap_err();
        assert!(
            untested.to_string().contains("/nowhere/at-all"),
            "{untested}"
        );
    }
}
