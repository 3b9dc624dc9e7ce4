//! Another policy, or other settings: which verdicts would change?

use pinfold::{
    Denial, PolicyRef, Terms,
    policy::Source,
    record::{Answered, Entry, Input, Ruling, ask},
};

use super::{
    Args, LAYER, Left, Outcome,
    shelf::{Missing, Shelf},
};
use crate::{
    options,
    policy::{
        diff::change::{self, Answer, Direction},
        subject::{self, Use},
    },
};

/// What is put in the place of what was recorded.
pub(super) struct WhatIf {
    layer: Option<String>,
    component: Option<Source>,
    settings: Option<serde_json::Value>,
    /// The digests of both, once they are on the shelf.
    digests: Option<(Option<String>, Option<String>)>,
}

/// How much of a verdict stays that does not change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shade {
    /// All of it.
    Alike,
    /// The same is let through; what is refused is refused for another reason.
    OtherReason,
    /// A policy answers something else, and the whole chain and the floor let through the same.
    NoEffect,
}

/// A verdict that changes, or what an allowed exchange may do.
pub(super) struct Change {
    pub(super) was: Ruling,
    pub(super) now: Ruling,
    /// What changes, and which way: never to no effect.
    pub(super) what: change::Change,
}

impl Change {
    /// Whether more is let through than was: the target, one of its addresses, or under looser terms.
    pub(super) fn is_loosening(&self) -> bool {
        self.what.direction == Direction::Looser
    }
}

impl WhatIf {
    /// What the options ask for; none when they ask for a replay.
    pub(super) fn of(args: &Args) -> anyhow::Result<Option<Self>> {
        let for_what = match args.max_loosening {
            Some(_) => Use::Gate,
            None => Use::Look,
        };
        let component = args.with.as_deref();
        let component = component.map(|file| subject::component(file, for_what));
        let component = component.transpose()?;
        let settings = args.with_settings.as_deref();
        let settings = settings.map(options::read_settings).transpose()?;
        let asked = component.is_some() || settings.is_some();
        Ok(asked.then(|| Self {
            layer: args.layer.clone(),
            component,
            settings,
            digests: None,
        }))
    }

    pub(super) fn judge(&mut self, entry: &Entry, input: &Input, shelf: &mut Shelf) -> Outcome {
        match self.answers(entry, input, shelf) {
            Err(missing) => Outcome::Fails(missing),
            Ok(now) if now.iter().any(Answered::depends_on_machine) => {
                Outcome::Left(Left::DependsOnMachine)
            }
            Ok(now) => compare(input, &now),
        }
    }

    /// The answers of the whole chain, with the policy of one layer replaced. What another layer was asked
    /// it is not asked again.
    fn answers(
        &mut self,
        entry: &Entry,
        input: &Input,
        shelf: &mut Shelf,
    ) -> Result<Vec<Answered>, Missing> {
        let chain = chain(entry, input);
        let place = self.place(&chain)?;
        let mut all = Vec::new();
        for (at, policy) in chain.iter().enumerate() {
            let recorded = input.answered.get(at);
            let recorded = recorded.filter(|then| then.policy == *policy && suffices(then, input));
            let answered = match recorded {
                Some(recorded) if at != place => recorded.clone(),
                _ if at == place => {
                    let instead = self.instead(policy, shelf)?;
                    ask(shelf.policy(&instead)?, input)
                }
                _ => ask(shelf.policy(policy)?, input),
            };
            let refused = answered.is_refusal();
            all.push(answered);
            if refused {
                break;
            }
        }
        Ok(all)
    }

    /// Which policy of the chain is replaced. The only one has no name to be found by.
    fn place(&self, chain: &[PolicyRef]) -> Result<usize, Missing> {
        if self.layer.is_none() && chain.len() == 1 {
            return Ok(0);
        }
        let wanted = self.layer.as_deref().unwrap_or(LAYER);
        let name = |policy: &PolicyRef| policy.layer.clone().unwrap_or_else(|| LAYER.into());
        let place = chain.iter().position(|policy| name(policy) == wanted);
        place.ok_or_else(|| Missing::Layer {
            name: wanted.to_owned(),
            known: chain.iter().map(name).collect(),
        })
    }

    /// The policy that judges in the place of `then`.
    fn instead(&mut self, then: &PolicyRef, shelf: &mut Shelf) -> Result<PolicyRef, Missing> {
        let (component, settings) = match &self.digests {
            Some(digests) => digests.clone(),
            None => self.shelve(shelf)?,
        };
        let mut policy = then.clone();
        // What was granted to one component says nothing of another.
        policy.inert_wasi &= component.is_none();
        policy.digest = component.unwrap_or(policy.digest);
        policy.settings_digest = settings.unwrap_or(policy.settings_digest);
        Ok(policy)
    }

    fn shelve(&mut self, shelf: &mut Shelf) -> Result<(Option<String>, Option<String>), Missing> {
        let component = match &self.component {
            None => None,
            Some(source) => Some(shelf.component(source.clone()).map_err(unreadable)?),
        };
        let settings = self
            .settings
            .clone()
            .map(|settings| shelf.settings(settings));
        Ok(self.digests.insert((component, settings)).clone())
    }
}

fn unreadable(error: pinfold::policy::LoadError) -> Missing {
    Missing::load("--with".into(), &error)
}

/// Every policy of the chain, also those that were not asked because one before them denied.
fn chain(entry: &Entry, input: &Input) -> Vec<PolicyRef> {
    match entry.layers.is_empty() {
        true => input
            .answered
            .iter()
            .map(|answered| answered.policy.clone())
            .collect(),
        false => entry.layers.clone(),
    }
}

/// Whether everything is recorded that this policy may be asked now.
fn suffices(then: &Answered, input: &Input) -> bool {
    then.is_refusal() || then.addresses.is_some() || input.answers.is_empty()
}

fn compare(input: &Input, now: &[Answered]) -> Outcome {
    let addresses: Vec<_> = input.answers.iter().map(|judged| judged.address).collect();
    let then = &input.answered;
    match change::compare(&addresses, &effect(input, then), &effect(input, now)) {
        Some(what) if what.direction == Direction::Other => Outcome::Same(Shade::OtherReason),
        Some(what) => Outcome::Changes(Box::new(Change {
            was: input.ruling(then),
            now: input.ruling(now),
            what,
        })),
        None if says_the_same(then, now) => Outcome::Same(Shade::Alike),
        None => Outcome::Same(Shade::NoEffect),
    }
}

/// What the chain, the floor and earlier terms make of a hop together, as if one policy had answered it.
fn effect(input: &Input, answered: &[Answered]) -> Answer {
    let target = admitted(input, answered);
    let was_looked_up = target.is_ok() && !input.answers.is_empty();
    Answer {
        addresses: was_looked_up.then(|| each_address(input, answered)),
        target,
    }
}

/// Stage one: the strictest terms of all, or the first refusal.
fn admitted(input: &Input, answered: &[Answered]) -> Result<Terms, Denial> {
    let mut unresolved = input.clone();
    unresolved.answers.clear();
    if let Ruling::Deny(denial) = unresolved.ruling(answered) {
        return Err(denial);
    }
    let tighten = |terms: Terms, answered: &Answered| {
        let own = answered.target.clone();
        own.map(|own| terms.tightened(own))
    };
    answered.iter().try_fold(input.earlier, tighten)
}

/// Stage two: who refuses each address, the first policy of the chain before the floor.
fn each_address(input: &Input, answered: &[Answered]) -> Result<Vec<Option<Denial>>, Denial> {
    let mut all = input.floor.clone();
    all.resize(input.answers.len(), None);
    for answered in answered.iter().rev() {
        let each = answered.addresses.clone().transpose()?.unwrap_or_default();
        for (refusal, own) in all.iter_mut().zip(each) {
            *refusal = own.or_else(|| refusal.take());
        }
    }
    Ok(all)
}

fn says_the_same(then: &[Answered], now: &[Answered]) -> bool {
    let pairs = || then.iter().zip(now);
    then.len() == now.len() && pairs().all(|(then, now)| then.differences(now).is_empty())
}
