//! What follows from the answers of all policies, the floor and earlier terms: the verdict of the hop.

use pinfold_addr::Reason;

use super::{Answered, Input};
use crate::{Denial, Terms, guard::obeys};

/// What becomes of a hop when its policies answer so.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ruling {
    /// At least one address may be dialled.
    Allow,
    /// The target is allowed, and no address is known that could be judged: none was looked up, or the
    /// lookup failed. Whether a socket would have been opened cannot be said.
    Admit,
    /// Refused.
    Deny(Denial),
}

impl Ruling {
    /// Why it is refused.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Deny(denial) => Some(denial),
            Self::Allow | Self::Admit => None,
        }
    }

    /// Whether a change from this ruling to `later` lets something through that was refused.
    pub fn is_loosened_by(&self, later: &Self) -> bool {
        self.denial().is_some() && later.denial().is_none()
    }
}

impl Input {
    /// The verdict that follows when these are the answers of all policies, in the order of the chain: any
    /// denial denies, terms only tighten, and the floor refuses what it refuses. It says nothing of what came
    /// later: the socket, the exchange.
    pub fn ruling(&self, answered: &[Answered]) -> Ruling {
        match self.admitted(answered) {
            Err(denial) => Ruling::Deny(denial),
            Ok(()) if self.answers.is_empty() => Ruling::Admit,
            Ok(()) => match self.refusal(answered) {
                Some(denial) => Ruling::Deny(denial),
                None => Ruling::Allow,
            },
        }
    }

    /// Stage one.
    fn admitted(&self, answered: &[Answered]) -> Result<(), Denial> {
        obeys(&self.request, self.earlier)?;
        let tighten = |terms: Terms, answered: &Answered| {
            answered.target.clone().map(|own| terms.tightened(own))
        };
        let terms = answered.iter().try_fold(self.earlier, tighten)?;
        obeys(&self.request, terms)
    }

    /// Stage two: why no address is left, when none is.
    fn refusal(&self, answered: &[Answered]) -> Option<Denial> {
        let failed = answered
            .iter()
            .find_map(|answered| answered.addresses.as_ref()?.as_ref().err());
        if let Some(failed) = failed {
            return Some(failed.clone());
        }
        let judged: Vec<_> = (0..self.answers.len())
            .map(|at| self.judged(at, answered))
            .collect();
        if judged.contains(&None) {
            return None;
        }
        let mut denials = judged.iter().flatten();
        let mixed = denials
            .clone()
            .find(|denial| denial.reason() == Some(Reason::AnswersMixed));
        mixed.or_else(|| denials.next()).cloned()
    }

    /// Who refuses one address: the first policy of the chain that does, otherwise the floor.
    fn judged(&self, at: usize, answered: &[Answered]) -> Option<Denial> {
        let verdict = |answered: &Answered| {
            let each = answered.addresses.as_ref()?.as_ref().ok()?;
            each.get(at)?.clone()
        };
        let floor = || self.floor.get(at)?.clone();
        answered.iter().find_map(verdict).or_else(floor)
    }
}
