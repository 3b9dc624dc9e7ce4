//! The numbers at the end.

use std::collections::BTreeMap;

use pinfold::record::Entry;
use serde::Serialize;

use super::{Left, Outcome, what_if::Shade};
use crate::exit::Exit;

/// How many records became what.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Lines that are not blank.
    pub(super) records: u64,
    /// Answered the same.
    pub(super) identical: u64,
    /// Answered something else.
    pub(super) differing: u64,
    /// Of those: what the line says does not follow from its own input.
    pub(super) contradicting: u64,
    /// More or less would be let through: a verdict, an address or terms would change.
    pub(super) changed: u64,
    /// Of those: more is let through than was.
    pub(super) loosened: u64,
    /// The same is let through, and something is refused for another reason.
    pub(super) other_reason: u64,
    /// A policy answers something else, to no effect.
    pub(super) no_effect: u64,
    /// Replayed without what is withheld in them.
    pub(super) redacted: u64,
    /// Not replayed, by reason.
    pub(super) not_replayed: BTreeMap<&'static str, u64>,
    /// Their policy, settings or layer is not there.
    pub(super) missing: u64,
    /// Lines that are no records.
    pub(super) malformed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, entry: &Entry, outcome: &Outcome) {
        match outcome {
            Outcome::Same(shade) => self.same(*shade),
            Outcome::Differs(_) => self.differing += 1,
            Outcome::Contradicts(_) => {
                self.differing += 1;
                self.contradicting += 1;
            }
            Outcome::Changes(change) => {
                self.changed += 1;
                self.loosened += u64::from(change.is_loosening());
            }
            Outcome::Left(left) => *self.not_replayed.entry(left.as_str()).or_default() += 1,
            Outcome::Fails(_) => self.missing += 1,
        }
        let judged = !matches!(
            outcome,
            Outcome::Left(_) | Outcome::Fails(_) | Outcome::Contradicts(_)
        );
        self.redacted += u64::from(judged && !entry.redacted.is_empty());
    }

    fn same(&mut self, shade: Shade) {
        match shade {
            Shade::Alike => self.identical += 1,
            Shade::OtherReason => self.other_reason += 1,
            Shade::NoEffect => self.no_effect += 1,
        }
    }

    /// Whether any record was judged again. When none was, nothing was shown.
    pub(super) fn has_judged(&self) -> bool {
        let alike = self.identical + self.other_reason + self.no_effect;
        alike + self.differing + self.changed > 0
    }

    /// Records that were not judged, although a policy was asked or may have been, and those that were judged without
    /// what is withheld in them.
    pub(super) fn not_whole(&self) -> u64 {
        let left = self.not_replayed.iter();
        let left = left.filter(|(why, _)| **why != Left::NotAsked.as_str());
        left.map(|(_, number)| number).sum::<u64>() + self.redacted
    }

    /// How the process ends. Where a number of loosenings is allowed, they alone decide, and that none can have
    /// been missed.
    pub(super) fn exit(&self, max_loosening: Option<u64>) -> Exit {
        let has_failed = match max_loosening {
            Some(most) => self.loosened > most || self.differing + self.not_whole() > 0,
            None => self.differing + self.changed > 0,
        };
        match () {
            () if self.malformed + self.missing > 0 || !self.has_judged() => Exit::Error,
            () if has_failed => Exit::Refused,
            () => Exit::Ok,
        }
    }
}

impl Left {
    /// The stable name, as a record has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoInput => "no-input",
            Self::NotAsked => "not-asked",
            Self::DependsOnRedacted => "depends-on-redacted",
            Self::DependsOnMachine => "depends-on-machine",
            Self::TooLarge => "too-large",
        }
    }
}
