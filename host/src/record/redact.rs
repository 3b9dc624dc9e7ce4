//! What is withheld from a record, and whether the answers depend on it.

use std::{thread::sleep, time::Duration};

use pinfold_addr::{Stage, Target};

use super::{Answered, Input, Judges, Mark};
use crate::{Decision, Denial, policy::is_ours};

/// What is withheld when a record is written. Default: nothing.
///
/// What is withheld is replaced and named in `redacted`. The policies that decided are then asked once more,
/// about what is left: when they answer the same, so will whoever replays the record. Otherwise the record is
/// marked ([`Mark::DependsOnRedacted`]), and the details of its denials, which may quote what is
/// withheld, are withheld too. Where inputs are not recorded there is nothing to ask about: every detail that a
/// policy may have written is then withheld.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Redaction {
    /// Paths, of the target and of the hop before.
    pub paths: bool,
    /// Queries, of the target and of the hop before.
    pub queries: bool,
}

impl Redaction {
    /// Nothing is withheld.
    pub const NONE: Self = Self {
        paths: false,
        queries: false,
    };

    /// Paths and queries are withheld.
    pub const ALL: Self = Self {
        paths: true,
        queries: true,
    };

    /// What stands for a path that is withheld. A path that is `/` stays.
    pub const PATH: &'static str = "/withheld";
    /// What stands for a query that is withheld. Whether there was one stays.
    pub const QUERY: &'static str = "withheld";
    /// What stands for a detail that is withheld.
    pub const DETAIL: &'static str = "withheld: it may quote what is redacted";

    /// The target without what is withheld; what that is, is added to `redacted` under this name.
    fn target(
        self,
        target: &Target,
        name: Names,
        redacted: &mut Vec<&'static str>,
    ) -> Option<Target> {
        let mut parts = target.parts();
        if self.paths && parts.path != "/" {
            parts.path = Self::PATH.into();
            redacted.push(name.path);
        }
        if self.queries && parts.query.is_some() {
            parts.query = Some(Self::QUERY.into());
            redacted.push(name.query);
        }
        Target::restore(&parts).ok()
    }
}

/// How the withheld parts of a target are named.
#[derive(Clone, Copy)]
struct Names {
    path: &'static str,
    query: &'static str,
}

const TARGET: Names = Names {
    path: "target.path",
    query: "target.query",
};

const PREVIOUS: Names = Names {
    path: "previous.path",
    query: "previous.query",
};

/// A decision as it is written.
pub(super) struct Redacted {
    pub(super) decision: Decision,
    pub(super) redacted: Vec<&'static str>,
    pub(super) mark: Option<Mark>,
}

impl Redacted {
    /// Withholds, and finds out whether the answers depend on it.
    pub(super) fn of(decision: &Decision, redaction: Redaction) -> Self {
        let mut written = Self {
            decision: decision.clone(),
            redacted: Vec::new(),
            mark: None,
        };
        match &decision.input {
            Some(input) => written.withhold(input, redaction),
            None if redaction == Redaction::NONE => {}
            None => written.withhold_quotes(),
        }
        written
    }

    /// Details that may quote a path or a query that nobody recorded.
    fn withhold_quotes(&mut self) {
        let quoting = self.denials_mut().filter(|denial| may_quote(denial));
        let some = quoting.map(withhold_detail).count() > 0;
        if some {
            self.redacted.push("detail");
        }
    }

    fn withhold(&mut self, input: &Input, redaction: Redaction) {
        let mut left = input.clone();
        let parts = left.withhold(redaction, &mut self.redacted);
        let whole = self.redacted.is_empty();
        self.mark = match () {
            () if parts.is_none() => Some(Mark::DependsOnRedacted),
            () if input.depends_on_machine() => Some(Mark::DependsOnMachine),
            () if whole || is_answered_alike(&self.decision.judges, &left) => None,
            () => Some(Mark::DependsOnRedacted),
        };
        // A detail of a policy that was not asked about what is left may quote what is withheld.
        if !whole && self.mark.is_some() {
            left.answered
                .iter_mut()
                .flat_map(Answered::denials_mut)
                .for_each(withhold_detail);
            self.withhold_details();
        }
        self.decision.input = parts.map(|()| left.into());
    }

    fn withhold_details(&mut self) {
        self.redacted.push("detail");
        self.denials_mut().for_each(withhold_detail);
    }

    /// Every denial of the line, those of its input aside.
    fn denials_mut(&mut self) -> impl Iterator<Item = &mut Denial> {
        let decision = &mut self.decision;
        let addresses = decision.addresses.iter_mut();
        addresses
            .filter_map(|judged| judged.denial.as_mut())
            .chain(decision.outcome.denial_mut())
            .chain(decision.would_deny.as_mut())
    }
}

/// Whether a policy may have written the detail, or the host may quote a policy there (how it failed, what was
/// wrong with its answer). What only the host can know it says in its own words, which are of names and addresses.
fn may_quote(denial: &Denial) -> bool {
    match denial.reason() {
        Some(reason) => reason.stage() == Stage::Policy || !is_ours(reason),
        None => true,
    }
}

fn withhold_detail(denial: &mut Denial) {
    denial.replace_detail(Redaction::DETAIL);
}

impl Input {
    /// None when what is left is no request: it is then not written.
    fn withhold(&mut self, redaction: Redaction, redacted: &mut Vec<&'static str>) -> Option<()> {
        self.request.target = redaction.target(&self.request.target, TARGET, redacted)?;
        if let Some(previous) = &self.request.previous {
            self.request.previous = Some(redaction.target(previous, PREVIOUS, redacted)?);
        }
        Some(())
    }
}

/// Whether each policy that was asked answers the same about what is left.
fn is_answered_alike(judges: &Judges, left: &Input) -> bool {
    left.answered.iter().all(|then| {
        let now = patiently(|| judges.ask(then, left));
        now.is_some_and(|now| then.agrees(&now))
    })
}

/// Asks again while the machine is busy: the instances are those that serve requests. What cannot be asked
/// is not claimed to replay.
fn patiently(ask: impl Fn() -> Option<Answered>) -> Option<Answered> {
    for _ in 0..PATIENCE {
        match ask() {
            Some(answered) if answered.depends_on_machine() => sleep(PAUSE),
            answered => return answered,
        }
    }
    None
}

/// How often a policy is asked about what is left.
const PATIENCE: u32 = 10;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);
