//! All that is different, as one document: the same for people and for programs.

use std::fmt;

use pinfold::policy::Problem;
use serde::{Serialize, Serializer};

use super::{
    change::Kind,
    records::Counts,
    schema,
    semver::{Advice, Step},
    surface::Surface,
    tally::Tally,
};

/// What is different between two policies.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// What both are.
    #[serde(flatten)]
    pub(super) surface: Surface,
    /// Settings that one of both refuses, so that nothing was asked under them.
    pub(super) refused: Vec<Refused>,
    /// Sets of questions that were not asked for that reason.
    pub(super) not_compared: usize,
    /// What both answered; none when nothing was asked.
    pub(super) decisions: Option<Tally>,
    /// Cases that no policy is asked about, and records that hold no input.
    pub(super) skipped: usize,
    /// What became of recorded decisions; none when there were none to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<Counts>,
    /// What the version says of it; none when one of both does not say which it is, when both are the
    /// same component, and when nothing was asked.
    pub(super) version: Option<Advice>,
    /// How many loosenings are allowed.
    pub(super) max_loosening: Option<usize>,
    /// Whether there are more.
    pub(super) exceeded: bool,
}

/// Settings that a policy refuses.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refused {
    /// Where they are from.
    pub(super) from: String,
    /// Which policy refuses them.
    pub(super) by: Side,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
}

/// Which of both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// What is there.
    Old,
    /// What is to replace it.
    New,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

impl Serialize for Side {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Report {
    /// A report that says nothing of decisions yet.
    pub(super) fn new(surface: Surface, max_loosening: Option<usize>) -> Self {
        Self {
            surface,
            refused: Vec::new(),
            not_compared: 0,
            decisions: None,
            skipped: 0,
            records: None,
            version: None,
            max_loosening,
            exceeded: false,
        }
    }

    /// Draws the conclusions, once everything was asked.
    pub(super) fn conclude(&mut self) {
        let looser = self.looser();
        self.exceeded = self.max_loosening.is_some_and(|most| looser > most);
        let (old, new) = (&self.surface.old.version, &self.surface.new.version);
        if let (Some(old), Some(new)) = (old, new)
            && !self.surface.is_same()
        {
            let step = self.step();
            // Without a question a version can be too small for certain, and never be large enough.
            let is_known = self.decisions.is_some() || step == Step::Major;
            self.version = is_known.then(|| Advice::new(step, old, new));
        }
    }

    /// How many answers are looser.
    pub(super) fn looser(&self) -> usize {
        self.decisions.as_ref().map_or(0, |tally| tally.looser)
    }

    /// What the changes are to those who rely on the policy: they read verdicts, codes and settings.
    fn step(&self) -> Step {
        let schema = self.surface.schema.as_deref();
        let refused = self.refused.iter().any(|refused| refused.by == Side::New)
            || self
                .decisions
                .as_ref()
                .is_some_and(|tally| tally.refuses_settings);
        let decides_otherwise = self
            .decisions
            .as_ref()
            .is_some_and(|tally| tally.tighter > 0 || tally.kinds.contains_key(&Kind::Code));
        if refused || self.looser() > 0 {
            Step::Major
        } else if decides_otherwise || schema.is_some_and(schema::adds) {
            Step::Minor
        } else {
            Step::Patch
        }
    }
}
