//! What follows from the answers of all policies, the floor and earlier terms: the verdict of the hop.

use pinfold_addr::{Host, Reason};

use super::{Answered, Input, Mode};
use crate::{Denial, PolicyRef, guard::obeys, policy::floor::check_name};

/// What becomes of a hop when its policies answer so.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ruling {
    /// At least one address may be dialled.
    Allow,
    /// The target is allowed, and no address is known that was judged: none was looked up, the lookup failed,
    /// or the caller gave up. Whether a socket would have been opened cannot be said.
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
    /// denial denies, terms only tighten, and the floor refuses what it refuses. Where no policy answers,
    /// nothing is allowed. It says nothing of what came later: the socket, the exchange.
    pub fn ruling(&self, answered: &[Answered]) -> Ruling {
        self.of_addresses(answered, self.admitted(answered))
    }

    /// The verdict of a hop whose target was admitted or denied so.
    fn of_addresses(&self, answered: &[Answered], admitted: Result<(), Denial>) -> Ruling {
        match admitted {
            Err(denial) => Ruling::Deny(denial),
            Ok(()) if !self.is_judged(answered) => Ruling::Admit,
            Ok(()) => match self.refusal(answered) {
                Some((_, denial)) => Ruling::Deny(denial),
                None => Ruling::Allow,
            },
        }
    }

    /// What becomes of the hop as its session took denials: [`ruling`](Self::ruling), where it enforced them.
    pub(super) fn passed(&self, answered: &[Answered]) -> Ruling {
        match self.report {
            Mode::Enforce => self.ruling(answered),
            Mode::Report => self.lifted(answered),
            Mode::ReportNames => self.of_addresses(answered, self.admitted_by_host(answered)),
        }
    }

    /// The verdict that follows when a denial of the policies is only told: then the host, the floor, and the terms of
    /// those that allow the target decide.
    fn lifted(&self, answered: &[Answered]) -> Ruling {
        let ruling = self.ruling(answered);
        if ruling.denial().is_none() {
            return ruling;
        }
        let mut floor = self.floor.iter();
        match self.admitted_by_host(answered) {
            Err(denial) => Ruling::Deny(denial),
            Ok(()) if self.answers.is_empty() => Ruling::Admit,
            Ok(()) if self.floor.contains(&None) => Ruling::Allow,
            Ok(()) => floor
                .find_map(Clone::clone)
                .map_or(Ruling::Allow, Ruling::Deny),
        }
    }

    /// The denial of the target that a session which reports let pass, before anything else was asked.
    pub(super) fn told_of_target(&self) -> Option<&Denial> {
        of_target(&self.answered)?.target.as_ref().err()
    }

    /// What the host refuses by itself, before it asks any policy.
    pub(super) fn before_policies(&self) -> Result<(), Denial> {
        obeys(&self.request, self.earlier)?;
        match self.request.target.host() {
            Host::Domain(name) => check_name(name),
            Host::Ip(_) => match self.floor.first() {
                Some(Some(denial)) => Err(denial.clone()),
                _ => Ok(()),
            },
        }
    }

    /// Stage one.
    pub(super) fn admitted(&self, answered: &[Answered]) -> Result<(), Denial> {
        self.before_policies()?;
        match of_target(answered) {
            Some(refused) => refused.target.as_ref().map(drop).map_err(Clone::clone),
            None => self.admitted_by_host(answered),
        }
    }

    /// Stage one, whatever the policies deny: the terms of those that allow hold.
    pub(super) fn admitted_by_host(&self, answered: &[Answered]) -> Result<(), Denial> {
        self.before_policies()?;
        if answered.is_empty() {
            let detail = "there is no policy to ask";
            return Err(Denial::new(Reason::PolicyTrapped, detail));
        }
        let allowed = answered
            .iter()
            .filter_map(|answered| answered.target.as_ref().ok());
        let terms = allowed.fold(self.earlier, |terms, own| terms.tightened(*own));
        obeys(&self.request, terms)
    }

    /// Whether the target was looked up, as far as that was decided in stage one.
    pub(super) fn may_be_looked_up(&self) -> bool {
        match self.report {
            Mode::Enforce => self.admitted(&self.answered).is_ok(),
            Mode::Report | Mode::ReportNames => self.admitted_by_host(&self.answered).is_ok(),
        }
    }

    /// Stage one, as far as policies are then asked about the addresses.
    pub(super) fn admitted_to_policies(&self, answered: &[Answered]) -> Result<(), Denial> {
        match self.report {
            Mode::Enforce | Mode::Report => self.admitted(answered),
            Mode::ReportNames => self.admitted_by_host(answered),
        }
    }

    /// Whether there are addresses and stage two was come to. Policies are asked about them all together, until
    /// one fails.
    pub(super) fn is_judged(&self, answered: &[Answered]) -> bool {
        let all = || answered.iter().all(|answered| answered.addresses.is_some());
        !self.answers.is_empty() && (failed(answered).is_some() || all())
    }

    /// What became of each address, in stage two.
    pub(super) fn judged(&self, answered: &[Answered]) -> Vec<Option<Denial>> {
        let judge = |at| match failed(answered) {
            Some((_, denial)) => Some(denial.clone()),
            None => self.judged_at(at, answered),
        };
        (0..self.answers.len()).map(judge).collect()
    }

    /// The policy that refused or failed, with these answers; none when none did. What was let pass counts, unless
    /// something else was refused.
    pub(super) fn decider<'a>(&self, answered: &'a [Answered]) -> Option<&'a PolicyRef> {
        let of_target = of_target(answered).map(|refused| &refused.policy);
        match self.report {
            Mode::Enforce | Mode::Report => of_target.or_else(|| self.refuser(answered)),
            Mode::ReportNames => self.refuser(answered).or(of_target),
        }
    }

    /// The policy that refused or failed in stage two.
    fn refuser<'a>(&self, answered: &'a [Answered]) -> Option<&'a PolicyRef> {
        if let Some((answered, _)) = failed(answered) {
            return Some(&answered.policy);
        }
        let (at, _) = self.refusal(answered)?;
        let refuser = answered
            .iter()
            .find(|answered| own(answered, at).is_some())?;
        Some(&refuser.policy)
    }

    /// Stage two: why no address is left, when none is, and the place of the one that stands for all.
    fn refusal(&self, answered: &[Answered]) -> Option<(usize, Denial)> {
        let judged = self.judged(answered);
        if judged.contains(&None) {
            return None;
        }
        let mut denials = judged.into_iter().flatten().enumerate();
        let mixed = denials
            .clone()
            .find(|(_, denial)| denial.reason() == Some(Reason::AnswersMixed));
        mixed.or_else(|| denials.next())
    }

    /// Who refuses one address: the first policy of the chain that does, otherwise the floor.
    fn judged_at(&self, at: usize, answered: &[Answered]) -> Option<Denial> {
        let floor = || self.floor.get(at)?.clone();
        let own = answered.iter().find_map(|answered| own(answered, at));
        own.cloned().or_else(floor)
    }
}

/// The first policy that refused the target, or failed there.
fn of_target(answered: &[Answered]) -> Option<&Answered> {
    answered.iter().find(|answered| answered.is_refusal())
}

/// What one policy says of one address.
fn own(answered: &Answered, at: usize) -> Option<&Denial> {
    let each = answered.addresses.as_ref()?.as_ref().ok()?;
    each.get(at)?.as_ref()
}

/// The policy that failed in stage two, and how: that denies all addresses.
fn failed(answered: &[Answered]) -> Option<(&Answered, &Denial)> {
    answered.iter().find_map(|answered| {
        let denial = answered.addresses.as_ref()?.as_ref().err()?;
        Some((answered, denial))
    })
}
