//! One question, two answers: what is different, and which way. `pinfold policy diff` compares what two policies
//! answer, `pinfold replay --with` what two whole chains do.
//!
//! A *loosening* is what lets through more than before: a verdict that was a denial, one address more, terms
//! that bind less, a name that was not looked up before. Whoever reviews a new version reads these; the rest
//! can wait. Where one answer is looser here and tighter there, it counts as looser.

use std::{net::IpAddr, time::Duration};

use pinfold::{Denial, Terms, policy::Problem};
use pinfold_addr::Reason;
use serde::Serialize;
use serde_json::Value;

/// What a policy answered about one hop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// Stage one.
    pub(crate) target: Result<Terms, Denial>,
    /// Stage two, one entry for each address; none when it was not asked.
    pub(crate) addresses: Option<Result<Vec<Option<Denial>>, Denial>>,
}

impl Answer {
    /// Whether the hop is allowed, as the host reads it: one address that may be dialled is enough.
    fn denial(&self) -> Option<&Denial> {
        match (&self.target, &self.addresses) {
            (Err(denial), _) | (Ok(_), Some(Err(denial))) => Some(denial),
            (Ok(_), Some(Ok(verdicts))) if verdicts.iter().all(Option::is_some) => {
                reason_of_all(verdicts)
            }
            (Ok(_), _) => None,
        }
    }

    /// Why this address may not be dialled; none when it may be.
    fn refusal_of(&self, index: usize) -> Option<&Denial> {
        match (&self.target, &self.addresses) {
            (Err(denial), _) | (Ok(_), Some(Err(denial))) => Some(denial),
            (Ok(_), Some(Ok(verdicts))) => verdicts.get(index).and_then(Option::as_ref),
            (Ok(_), None) => None,
        }
    }

    fn verdict(&self) -> Verdict {
        self.denial().into()
    }
}

/// The denial that stands for a whole answer: that good and bad were mixed, otherwise the first.
fn reason_of_all(verdicts: &[Option<Denial>]) -> Option<&Denial> {
    let mut denials = verdicts.iter().flatten();
    let is_mixed = |denial: &&Denial| denial.reason() == Some(Reason::AnswersMixed);
    let mixed = denials.clone().find(is_mixed);
    mixed.or_else(|| denials.next())
}

/// A verdict, as it is shown.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// May be dialled.
    Allow,
    /// May not.
    Deny {
        /// Stable code.
        code: String,
        /// Where.
        stage: pinfold_addr::Stage,
        /// What exactly.
        message: String,
    },
    /// Settings that are taken.
    Taken,
    /// Settings that are refused.
    Refused {
        /// What is wrong with them.
        problems: Vec<Problem>,
    },
}

impl Verdict {
    /// In one word: `allow`, or the code of the denial; of settings `taken` or `refused`.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Allow => "allow",
            Self::Deny { code, .. } => code,
            Self::Taken => "taken",
            Self::Refused { .. } => "refused",
        }
    }

    /// What the policy says about its denial.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Deny { message, .. } => Some(message),
            Self::Allow | Self::Taken | Self::Refused { .. } => None,
        }
    }
}

impl From<Option<&Denial>> for Verdict {
    fn from(denial: Option<&Denial>) -> Self {
        denial.map_or(Self::Allow, |denial| Self::Deny {
            code: denial.code().to_owned(),
            stage: denial.stage(),
            message: denial.detail().to_owned(),
        })
    }
}

/// Which way a change goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// The same is let through; it is said differently.
    Other,
    /// Less is let through.
    Tighter,
    /// More is let through.
    Looser,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Whether the hop is allowed.
    Verdict,
    /// Whether one of its addresses may be dialled.
    Address,
    /// What an allowed exchange must obey.
    Terms,
    /// Whether the name of a denied hop is looked up first.
    Lookup,
    /// The code or the stage of a denial.
    Code,
    /// The message of a denial.
    Message,
    /// Whether settings are taken, or what is wrong with them.
    Settings,
}

/// What is different about one hop.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Change {
    /// The loosest of what changed.
    pub(crate) direction: Direction,
    /// What changed, each once.
    pub(crate) kinds: Vec<Kind>,
    /// Before.
    pub(crate) old: Verdict,
    /// After.
    pub(crate) new: Verdict,
    /// The addresses whose verdict changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<AddressChange>,
    /// The terms that changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) terms: Vec<TermChange>,
}

/// One address, judged differently.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct AddressChange {
    /// Which.
    pub(crate) address: IpAddr,
    /// Before.
    pub(crate) old: Verdict,
    /// After.
    pub(crate) new: Verdict,
    /// Which way.
    pub(crate) direction: Direction,
}

/// One of the terms.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct TermChange {
    /// Its name, as in records.
    pub(crate) term: &'static str,
    /// Before: a number or a boolean; null is the host's own limit.
    pub(crate) old: Value,
    /// After.
    pub(crate) new: Value,
    /// Which way.
    pub(crate) direction: Direction,
}

/// Compares two answers about the same addresses; none when they are the same.
pub(crate) fn compare(addresses: &[IpAddr], old: &Answer, new: &Answer) -> Option<Change> {
    let mut found = Found::default();
    found.verdict(old, new);
    let addresses = found.addresses(addresses, old, new);
    let terms = found.terms(old, new);
    found.lookup(old, new);
    let direction = found.directions.iter().copied().max()?;
    found.kinds.sort_unstable();
    found.kinds.dedup();
    Some(Change {
        direction,
        kinds: found.kinds,
        old: old.verdict(),
        new: new.verdict(),
        addresses,
        terms,
    })
}

/// Compares what became of the same settings, where nothing is what is wrong with settings that were taken; none
/// when it is the same. Who takes what was refused lets its authors write what they could not.
pub(crate) fn compare_settings(old: &[Problem], new: &[Problem]) -> Option<Change> {
    let direction = match (old.is_empty(), new.is_empty()) {
        (false, true) => Direction::Looser,
        (true, false) => Direction::Tighter,
        _ if old != new => Direction::Other,
        _ => return None,
    };
    Some(Change {
        direction,
        kinds: vec![Kind::Settings],
        old: of_settings(old),
        new: of_settings(new),
        addresses: Vec::new(),
        terms: Vec::new(),
    })
}

fn of_settings(problems: &[Problem]) -> Verdict {
    match problems {
        [] => Verdict::Taken,
        problems => Verdict::Refused {
            problems: problems.to_vec(),
        },
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    kinds: Vec<Kind>,
    directions: Vec<Direction>,
}

impl Found {
    fn add(&mut self, kind: Kind, direction: Direction) {
        self.kinds.push(kind);
        self.directions.push(direction);
    }

    fn verdict(&mut self, old: &Answer, new: &Answer) {
        if let Some((kind, direction)) = difference(old.denial(), new.denial(), Kind::Verdict) {
            self.add(kind, direction);
        }
    }

    /// Where one side was not asked about addresses, the verdict says it all.
    fn addresses(
        &mut self,
        addresses: &[IpAddr],
        old: &Answer,
        new: &Answer,
    ) -> Vec<AddressChange> {
        if old.addresses.is_none() || new.addresses.is_none() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let (before, after) = (old.refusal_of(index), new.refusal_of(index));
            if let Some((kind, direction)) = difference(before, after, Kind::Address) {
                self.add(kind, direction);
                changes.push(AddressChange {
                    address: *address,
                    old: before.into(),
                    new: after.into(),
                    direction,
                });
            }
        }
        changes
    }

    /// Terms bind what is allowed, and only that.
    fn terms(&mut self, old: &Answer, new: &Answer) -> Vec<TermChange> {
        let (None, None, Ok(before), Ok(after)) =
            (old.denial(), new.denial(), &old.target, &new.target)
        else {
            return Vec::new();
        };
        let changes = terms(before, after);
        for change in &changes {
            self.add(Kind::Terms, change.direction);
        }
        changes
    }

    /// A name that is denied in stage one is never looked up; in stage two it was, and whoever serves
    /// the name has heard of it.
    fn lookup(&mut self, old: &Answer, new: &Answer) {
        if old.denial().is_none() || new.denial().is_none() {
            return;
        }
        match (old.target.is_ok(), new.target.is_ok()) {
            (false, true) => self.add(Kind::Lookup, Direction::Looser),
            (true, false) => self.add(Kind::Lookup, Direction::Tighter),
            _ => {}
        }
    }
}

/// The difference between two refusals, or between one and none.
fn difference(
    old: Option<&Denial>,
    new: Option<&Denial>,
    allowed: Kind,
) -> Option<(Kind, Direction)> {
    match (old, new) {
        (Some(_), None) => Some((allowed, Direction::Looser)),
        (None, Some(_)) => Some((allowed, Direction::Tighter)),
        (Some(old), Some(new)) if (old.code(), old.stage()) != (new.code(), new.stage()) => {
            Some((Kind::Code, Direction::Other))
        }
        (Some(old), Some(new)) if old.detail() != new.detail() => {
            Some((Kind::Message, Direction::Other))
        }
        _ => None,
    }
}

fn terms(old: &Terms, new: &Terms) -> Vec<TermChange> {
    let pairs = bounds(old).into_iter().zip(bounds(new));
    let numbers = NUMBERS
        .into_iter()
        .zip(pairs)
        .filter(|(_, (old, new))| old != new)
        .map(|(term, (old, new))| TermChange {
            term,
            old: old.into(),
            new: new.into(),
            direction: if is_looser(old, new) {
                Direction::Looser
            } else {
                Direction::Tighter
            },
        });
    let https = (old.https_only != new.https_only).then(|| TermChange {
        term: "https_only",
        old: old.https_only.into(),
        new: new.https_only.into(),
        direction: if old.https_only {
            Direction::Looser
        } else {
            Direction::Tighter
        },
    });
    numbers.chain(https).collect()
}

/// The terms that are bounds.
fn bounds(terms: &Terms) -> [Option<u64>; NUMBERS.len()] {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    [
        terms.connect_timeout.map(millis),
        terms.total_timeout.map(millis),
        terms.response_bytes,
        terms.redirects.map(u64::from),
    ]
}

/// The larger bound binds less, and none binds least.
fn is_looser(old: Option<u64>, new: Option<u64>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => new > old,
        (old, new) => old.is_some() && new.is_none(),
    }
}

/// The names of [`bounds`], in their order; as in records.
const NUMBERS: [&str; 4] = [
    "connect_timeout_ms",
    "total_timeout_ms",
    "response_bytes",
    "redirects",
];

#[cfg(test)]
mod tests;
