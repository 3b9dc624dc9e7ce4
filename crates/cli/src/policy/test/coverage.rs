//! What no vector meets: denial codes that are never answered, settings that nothing depends on.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    Args,
    judge::{Report, groups},
    mutate::{self, Rules},
    plan::Plan,
};
use crate::{
    text::count,
    vectors::{Alone, Judged, Suite},
};

/// What the vectors met and what they did not.
#[derive(Debug, Default, Serialize)]
pub(super) struct Coverage {
    codes: Codes,
    rules: Vec<Rules>,
}

/// Denial codes.
#[derive(Debug, Default, Serialize)]
struct Codes {
    /// Whether the project file lists what the policy may answer.
    declared: bool,
    /// Codes that the policy answered.
    answered: BTreeSet<String>,
    /// Listed, and never answered.
    missing: Vec<String>,
    /// Answered, and not listed.
    undeclared: Vec<String>,
    /// Codes that the host refused with, where the policy did not refuse.
    host: BTreeSet<String>,
}

/// Asks the policy alone what it answers to each vector, and takes the settings apart.
///
/// # Errors
///
/// A policy that no longer loads.
pub(super) async fn of(plan: &Plan, report: &Report, args: &Args) -> anyhow::Result<Coverage> {
    let mut codes = Codes::default();
    for group in groups(plan) {
        let suites = group.suites.iter().filter_map(|at| plan.suites.get(*at));
        let cases: Vec<_> = suites.flat_map(Suite::cases).collect();
        if cases.is_empty() {
            continue;
        }
        let alone = Alone::load(&group.setup).map_err(|error| plan.subject.name(error))?;
        for case in cases {
            codes.answered_by(&alone.judge(case).await);
        }
    }
    report
        .cases()
        .filter_map(|case| case.judged.as_ref())
        .for_each(|judged| codes.refused_by(judged));
    codes.compare(plan.codes());
    Ok(Coverage {
        codes,
        rules: mutate::run(plan, args).await?,
    })
}

impl Codes {
    fn answered_by(&mut self, alone: &Judged) {
        let codes = alone.answered.iter().map(|denial| denial.code().to_owned());
        self.answered.extend(codes);
    }

    /// What a guard refused with, the policy's own codes included: those are taken out afterwards.
    fn refused_by(&mut self, judged: &Judged) {
        let of_addresses = judged
            .addresses
            .iter()
            .filter_map(|address| address.denial.as_ref());
        let all = judged.denial.iter().chain(of_addresses);
        self.host.extend(all.map(|denial| denial.code().to_owned()));
    }

    fn compare(&mut self, declared: Option<&[String]>) {
        self.host.retain(|code| !self.answered.contains(code));
        let Some(declared) = declared else { return };
        self.declared = true;
        let is_met = |code: &&String| self.answered.contains(*code);
        self.missing = declared
            .iter()
            .filter(|code| !is_met(code))
            .cloned()
            .collect();
        let is_declared = |code: &&String| declared.contains(*code);
        self.undeclared = self
            .answered
            .iter()
            .filter(|code| !is_declared(code))
            .cloned()
            .collect();
    }
}

impl Coverage {
    /// Whether a code is missing, or answered without being listed.
    pub(super) fn has_failed(&self) -> bool {
        self.failures().next().is_some()
    }

    /// What is wrong, one line each.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let undeclared = self.codes.undeclared.iter().map(|code| {
            format!("`{code}` is answered and not listed in `codes` of the project file")
        });
        let missing = self.codes.missing.iter().map(|code| {
            format!("`{code}` is listed in `codes` of the project file and no vector meets it")
        });
        undeclared.chain(missing)
    }

    /// The report for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.codes.summary()];
        lines.extend(
            self.failures()
                .map(|failure| format!("  failed: {failure}")),
        );
        lines.extend(listed("  answered by the policy", &self.codes.answered));
        lines.extend(listed("  refused by the host alone", &self.codes.host));
        lines.extend(self.rules.iter().flat_map(Rules::lines));
        lines
    }
}

impl Codes {
    fn summary(&self) -> String {
        let answered = count(self.answered.len(), "code", "codes");
        if self.declared {
            let listed = self.answered.len() - self.undeclared.len() + self.missing.len();
            let met = listed - self.missing.len();
            format!("denial codes: {met} of {listed} that are listed were answered")
        } else {
            format!(
                "denial codes: {answered} answered; list `codes` in the project file to hold the policy to them"
            )
        }
    }
}

fn listed(what: &str, codes: &BTreeSet<String>) -> Option<String> {
    let codes: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    (!codes.is_empty()).then(|| format!("{what}: {}", codes.join(", ")))
}
