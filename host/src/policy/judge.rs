//! One hop, two questions to each policy of the chain.

use std::{fmt, mem, sync::Arc, time::Instant};

use pinfold_addr::{Domain, Host, Reason, Stage};

use super::{
    bindings::{self, wit},
    fault::Fault,
    limits::restart_clock,
    maker::Instance,
    member::Member,
    swap::{Active, Link},
};
use crate::{Denial, JudgedAddress, PolicyRef, Request, Terms};

/// Judges one hop: first its target, then the addresses of it. Its instances have seen no other
/// request and see no other; they are gone after a refusal, after any failure, and after the addresses.
///
/// Where there are several policies they are asked in order, and the hop holds one instance at a time: a
/// long chain takes no more places than a short one.
pub(crate) struct Judge {
    state: State,
    active: Arc<Active>,
    /// The policy that refused or failed, by its place.
    decider: usize,
    /// The policy that refused each address, by its place; empty where there is one policy.
    refusers: Vec<usize>,
    /// What was asked and answered, when that is to be recorded.
    answered: Option<Vec<Answered>>,
}

/// What a policy of the chain was asked about a hop, and what it answered. A question that it was not
/// asked, because an earlier policy or the lookup had ended the hop, has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answered {
    /// Which one.
    pub(crate) policy: Arc<PolicyRef>,
    /// Stage one.
    pub(crate) target: Option<Result<Terms, Denial>>,
    /// Stage two: one entry for each address; `Err` when it failed, which denies all.
    pub(crate) addresses: Option<Result<Vec<Option<Denial>>, Denial>>,
}

/// What the policies say of a target, taken together.
#[derive(Debug, Default)]
pub(crate) struct Opinion {
    /// The strictest terms of those that allow it.
    pub(crate) terms: Terms,
    /// The first denial.
    pub(crate) denied: Option<Denial>,
}

impl From<Result<Terms, Denial>> for Opinion {
    fn from(answer: Result<Terms, Denial>) -> Self {
        match answer {
            Ok(terms) => Self {
                terms,
                denied: None,
            },
            Err(denial) => Self {
                terms: Terms::default(),
                denied: Some(denial),
            },
        }
    }
}

enum State {
    /// With the instance that will answer next.
    Ready(Instance),
    /// Without one: between the policies of a chain, and while the lookup takes long. Who can make names
    /// slow must not hold instances.
    Resting,
    /// After a refusal, a failure, or the last question.
    Spent,
}

impl Judge {
    /// A judge with a spare instance, or a fresh one; `policy-busy` when the pool is exhausted. Slow policies
    /// get theirs when they are asked, on the thread where they are: to make one may take long as well.
    pub(super) fn new(active: Arc<Active>) -> Result<Self, Denial> {
        let state = match active.is_slow() {
            true => State::Resting,
            false => State::Ready(obtain(active.member())?),
        };
        Ok(Self::with(state, active))
    }

    /// A judge that takes an instance when it asks, and says `policy-busy` then.
    pub(super) fn later(active: Arc<Active>) -> Self {
        Self::with(State::Resting, active)
    }

    fn with(state: State, active: Arc<Active>) -> Self {
        Self {
            state,
            active,
            decider: 0,
            refusers: Vec::new(),
            answered: None,
        }
    }

    /// Keeps what each policy is asked and answers, from here on. Costs a copy of each answer.
    #[must_use]
    pub(crate) fn recording(mut self) -> Self {
        self.answered = Some(Vec::new());
        self
    }

    /// What was asked and answered so far, in the order of the chain; nothing unless it is
    /// [`recording`](Self::recording). Empties the list.
    pub(crate) fn answered(&mut self) -> Vec<Answered> {
        self.answered.as_mut().map(mem::take).unwrap_or_default()
    }

    /// The policy that refused the target, or failed.
    pub(crate) fn decider(&self) -> &Arc<PolicyRef> {
        self.active.reference_at(self.decider)
    }

    /// The policy that refused the address at this place of the answer, when one did.
    pub(crate) fn refuser(&self, address: usize) -> &Arc<PolicyRef> {
        let policy = self.refusers.get(address).copied().unwrap_or_default();
        self.active.reference_at(policy)
    }

    /// Asks a question where no other task has to wait for the answer: here, when the policies are quick, and
    /// otherwise on a thread that may block. As many questions as there are instances can wait for one.
    /// The judge comes back with the answer, unless the runtime is shutting down.
    pub(crate) async fn ask<I, T>(
        mut self,
        input: I,
        question: impl FnOnce(&mut Self, &I) -> T + Send + 'static,
    ) -> Result<(Self, I, T), Denial>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        if !self.active.is_slow() {
            let answer = question(&mut self, &input);
            return Ok((self, input, answer));
        }
        let apart = move || {
            let answer = question(&mut self, &input);
            (self, input, answer)
        };
        let gone = |_| Denial::new(Reason::PolicyBusy, "the runtime takes no more work");
        tokio::task::spawn_blocking(apart).await.map_err(gone)
    }

    /// May this be looked up at all? One policy after the other, until one denies; what all allow, they
    /// allow under the strictest of their terms.
    pub(crate) fn check_target(&mut self, request: &Request) -> Result<Terms, Denial> {
        let active = Arc::clone(&self.active);
        let mut strictest: Option<Terms> = None;
        for (at, link) in active.links().enumerate() {
            let terms = self.ask_target(link, request);
            let terms = terms.inspect_err(|_| self.decider = at)?;
            strictest = Some(strictest.map_or(terms, |before| before.tightened(terms)));
        }
        strictest.ok_or_else(unasked)
    }

    /// As [`check_target`](Self::check_target), where a denial is only told: each policy is asked, so that the terms
    /// of those that allow hold. The first denial stands for all.
    pub(crate) fn report_target(&mut self, request: &Request) -> Opinion {
        let active = Arc::clone(&self.active);
        let mut opinion = Opinion::default();
        for (at, link) in active.links().enumerate() {
            match self.ask_target(link, request) {
                Ok(terms) => opinion.terms = opinion.terms.tightened(terms),
                Err(denial) => {
                    if opinion.denied.is_none() {
                        self.decider = at;
                        opinion.denied = Some(denial);
                    }
                    self.state = State::Resting;
                }
            }
        }
        opinion
    }

    fn ask_target(&mut self, link: &Link, request: &Request) -> Result<Terms, Denial> {
        let alone = self.active.is_alone();
        let answer = self.state.check_target(&link.member, request, alone);
        if let Some(answered) = &mut self.answered {
            answered.push(Answered::target(link, &answer));
        }
        answer
    }

    /// Gives the instance back until the addresses are known. They are then judged in another one, which
    /// is as good: a policy keeps nothing between the stages.
    pub(crate) fn rest(&mut self) {
        if let State::Ready(instance) = mem::replace(&mut self.state, State::Resting) {
            let first = self.active.member();
            first.keeper().give_back(first, instance);
        }
    }

    /// Which of these may be dialled? One entry for each answer, in order; none where a socket may
    /// be opened. Each policy judges all addresses; one that any of them refuses is refused, by the first
    /// that does. Any failure denies all.
    pub(crate) fn check_addresses(
        &mut self,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Vec<Option<Denial>>, Denial> {
        let mut all: Option<Vec<Option<Denial>>> = None;
        for (at, link) in self.active.links().enumerate() {
            let answer = (self.state).check_addresses(&link.member, request, chain, answers);
            if let Some(answered) = &mut self.answered {
                Answered::addresses(answered, link, &answer);
            }
            let verdicts = answer.inspect_err(|_| self.decider = at)?;
            match &mut all {
                None => all = Some(verdicts),
                Some(all) => unite(all, &mut self.refusers, at, verdicts),
            }
        }
        self.state = State::Spent;
        all.ok_or_else(unasked)
    }

    #[cfg(test)]
    pub(crate) fn active(&self) -> &Arc<Active> {
        &self.active
    }
}

/// Adds the refusals of the policy at place `at` to those of the policies before it, which stand.
fn unite(
    all: &mut [Option<Denial>],
    refusers: &mut Vec<usize>,
    at: usize,
    verdicts: Vec<Option<Denial>>,
) {
    refusers.resize(all.len(), 0);
    let places = all.iter_mut().zip(refusers);
    for ((denial, refuser), verdict) in places.zip(verdicts) {
        if denial.is_none() && verdict.is_some() {
            *denial = verdict;
            *refuser = at;
        }
    }
}

/// A chain has at least one policy; were there none, nothing is allowed.
fn unasked() -> Denial {
    Denial::new(Reason::PolicyTrapped, "there is no policy to ask")
}

impl Answered {
    fn target(link: &Link, answer: &Result<Terms, Denial>) -> Self {
        Self {
            policy: Arc::clone(&link.reference),
            target: Some(answer.clone()),
            addresses: None,
        }
    }

    /// Adds the answer to what the same policy said of the target.
    fn addresses(all: &mut Vec<Self>, link: &Link, answer: &Result<Vec<Option<Denial>>, Denial>) {
        let same = |said: &&mut Self| Arc::ptr_eq(&said.policy, &link.reference);
        if let Some(said) = all.iter_mut().find(same) {
            said.addresses = Some(answer.clone());
            return;
        }
        all.push(Self {
            policy: Arc::clone(&link.reference),
            target: None,
            addresses: Some(answer.clone()),
        });
    }
}

impl State {
    /// Asks a policy about the target. Keeps the instance for the addresses where the policy is alone.
    fn check_target(
        &mut self,
        member: &Arc<Member>,
        request: &Request,
        alone: bool,
    ) -> Result<Terms, Denial> {
        let mut instance = self.take(member)?;
        let terms = timed(member, || instance.check_target(request))?;
        *self = match alone {
            true => Self::Ready(instance),
            false => Self::rested(member, instance),
        };
        Ok(terms)
    }

    fn check_addresses(
        &mut self,
        member: &Arc<Member>,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Vec<Option<Denial>>, Denial> {
        let mut instance = self.take(member)?;
        let verdicts = timed(member, || instance.check_addresses(request, chain, answers))?;
        *self = Self::rested(member, instance);
        Ok(verdicts)
    }

    fn rested(member: &Member, instance: Instance) -> Self {
        member.keeper().give_back(member, instance);
        Self::Resting
    }

    /// The instance, out of the judge: it comes back only when all went well.
    fn take(&mut self, member: &Arc<Member>) -> Result<Instance, Denial> {
        match mem::replace(self, Self::Spent) {
            Self::Ready(instance) => Ok(instance),
            Self::Resting => obtain(member),
            Self::Spent => Err(Denial::new(
                Reason::PolicyTrapped,
                "this judge has spoken already",
            )),
        }
    }
}

fn timed<T>(member: &Member, question: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let answer = question();
    member.pace().add(begun.elapsed());
    answer
}

/// A spare, or one made on the spot.
pub(super) fn obtain(member: &Arc<Member>) -> Result<Instance, Denial> {
    match member.keeper().take(member) {
        Some(spare) => Ok(spare),
        None => Ok(make(member)?),
    }
}

/// Makes an instance on the spot. Used ones that were not wiped yet may hold the last places.
fn make(member: &Member) -> Result<Instance, Fault> {
    member.maker().make().or_else(|fault| {
        let again = fault.reason == Reason::PolicyBusy && member.keeper().wipe(member.stock());
        if again {
            member.maker().make()
        } else {
            Err(fault)
        }
    })
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("policies", &self.active)
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn check_target(&mut self, request: &Request) -> Result<Terms, Denial> {
        let labels = bindings::labels(request)?;
        let shown = bindings::request(request, &labels);
        let answer = self.ask(|Self { store, policy }| {
            policy
                .pinfold_policy_decide()
                .call_check_target(store, shown)
        })?;
        bindings::decision(answer, request.target().host())?
    }

    pub(super) fn check_addresses(
        &mut self,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Vec<Option<Denial>>, Denial> {
        let verdicts = self.ask_addresses(request, chain, answers)?;
        if verdicts.len() != answers.len() {
            let detail = format!(
                "{} verdicts for {} addresses",
                verdicts.len(),
                answers.len()
            );
            return Err(Denial::new(Reason::PolicyVerdictCount, detail));
        }
        let stage = match request.target().host() {
            Host::Domain(_) => Stage::Resolve,
            Host::Ip(_) => Stage::Address,
        };
        verdicts
            .into_iter()
            .map(|verdict| bindings::verdict(verdict, stage))
            .collect()
    }

    fn ask_addresses(
        &mut self,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Vec<wit::Verdict>, Denial> {
        let labels = bindings::labels(request)?;
        let request = bindings::request(request, &labels);
        let (chain, embedded) = (bindings::chain(chain), bindings::embedded(answers));
        let answers = bindings::answers(answers, &embedded);
        let resolution = wit::Resolution {
            chain: &chain,
            answers: &answers,
        };
        self.ask(|Self { store, policy }| {
            policy
                .pinfold_policy_decide()
                .call_check_addresses(store, request, resolution)
        })
    }

    /// Asks one question, within the time of one question.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut Self) -> wasmtime::Result<T>,
    ) -> Result<T, Denial> {
        restart_clock(&mut self.store);
        question(self).map_err(|error| Fault::of(&error, self.store.data()).into())
    }
}
