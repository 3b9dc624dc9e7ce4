//! What the candidate would have decided, beside what was decided.

use std::{
    slice,
    time::{Duration, Instant},
};

use pinfold::{
    Decision, PolicyRef,
    policy::{Evaluator, Layer},
    record::{Answered, Input, Ruling, ask},
};

/// What came of one decision.
#[derive(Clone, Debug)]
pub(super) enum Compared {
    /// Both rulings are known.
    Pair(Box<Pair>),
    /// No policy was asked: the native rules, or the gateway, refused it before.
    NotAsked,
    /// A policy was late, or had no place for an instance: that says nothing of its rules.
    Unclear,
    /// The chain that decided has no layer for the candidate, or what it was asked is not recorded.
    Elsewhere,
}

/// Two rulings on one request: what the policies, the native rules and earlier terms make of it, and not what the
/// network did.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) active: Ruling,
    pub(super) candidate: Ruling,
    /// What the candidate took; none when it was not asked, because a layer before it had refused.
    pub(super) took: Option<Duration>,
}

/// Asks the candidate what the policy of its layer was asked. Of the other layers the recorded answers count.
pub(super) fn compare(policy: &Evaluator, layer: &str, decision: &Decision) -> Compared {
    let Some(input) = decision.input.as_deref() else {
        return Compared::Elsewhere;
    };
    if !input.was_asked() {
        return Compared::NotAsked;
    }
    let Some((place, length)) = place(decision, layer) else {
        return Compared::Elsewhere;
    };
    if input.depends_on_machine() {
        return Compared::Unclear;
    }
    let active = input.ruling(&input.answered);
    let before = input.answered.get(..place);
    let Some(before) = before.filter(|before| !before.iter().any(Answered::is_refusal)) else {
        return Compared::Pair(Box::new(Pair {
            candidate: active.clone(),
            active,
            took: None,
        }));
    };
    let began = Instant::now();
    let own = ask(policy, input);
    let took = Some(began.elapsed());
    if own.depends_on_machine() {
        return Compared::Unclear;
    }
    let candidate = ruling(input, before, own, length);
    Compared::Pair(Box::new(Pair {
        active,
        candidate,
        took,
    }))
}

/// The ruling of a chain of this length with the candidate's answer in it.
fn ruling(input: &Input, before: &[Answered], own: Answered, length: usize) -> Ruling {
    let alone = input.ruling(slice::from_ref(&own));
    let refuses = own.is_refusal();
    let mut all = before.to_vec();
    all.push(own);
    if !refuses {
        all.extend(input.answered.iter().skip(all.len()).cloned());
    }
    match input.ruling(&all) {
        // Layers after it were never asked: they may well refuse.
        Ruling::Allow if all.len() < length => Ruling::Admit,
        // What others say of the addresses is not known, and does not matter.
        Ruling::Admit if alone.denial().is_some() => alone,
        other => other,
    }
}

/// The place of the candidate's layer in the chain that decided, and the length of the chain.
fn place(decision: &Decision, layer: &str) -> Option<(usize, usize)> {
    let is_it = |policy: &PolicyRef| policy.layer.as_deref().unwrap_or(Layer::POLICY) == layer;
    match decision.layers.len() {
        0 => is_it(&decision.policy).then_some((0, 1)),
        length => {
            let place = decision.layers.iter().position(|policy| is_it(policy))?;
            Some((place, length))
        }
    }
}
