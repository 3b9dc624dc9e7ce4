//! One instance, one hop, two questions.

use std::{fmt, mem, sync::Arc, time::Instant};

use pinfold_addr::{Domain, Host, Reason, Stage};

use super::{
    bindings::{self, wit},
    fault::Fault,
    limits::restart_clock,
    maker::Instance,
    swap::Active,
};
use crate::{Denial, JudgedAddress, Request, Terms};

/// Judges one hop: first its target, then the addresses of it. Its instance has seen no other
/// request and sees no other; it is gone after a refusal, after any failure, and after the addresses.
pub(crate) struct Judge {
    state: State,
    active: Arc<Active>,
}

enum State {
    /// With the instance that will answer.
    Ready(Instance),
    /// Without one, while the lookup takes long: who can make names slow must not hold instances.
    Resting,
    /// After a refusal, a failure, or the last question.
    Spent,
}

impl Judge {
    /// A judge with a spare instance, or a fresh one; `policy-busy` when the pool is exhausted.
    pub(super) fn new(active: Arc<Active>) -> Result<Self, Denial> {
        let instance = obtain(&active)?;
        Ok(Self {
            state: State::Ready(instance),
            active,
        })
    }

    /// Asks a question where no other task has to wait for the answer: here, when the policy is quick, and
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
        if !self.active.pace().is_slow() {
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

    /// May this be looked up at all?
    pub(crate) fn check_target(&mut self, request: &Request) -> Result<Terms, Denial> {
        let mut instance = self.take()?;
        let terms = self.timed(|| instance.check_target(request))?;
        self.state = State::Ready(instance);
        Ok(terms)
    }

    /// Gives the instance back until the addresses are known. They are then judged in another one, which
    /// is as good: a policy keeps nothing between the stages.
    pub(crate) fn rest(&mut self) {
        if let State::Ready(instance) = mem::replace(&mut self.state, State::Resting) {
            self.active.keeper().give_back(&self.active, instance);
        }
    }

    /// Which of these may be dialled? One entry for each answer, in order; none where a socket may
    /// be opened. Any failure denies all.
    pub(crate) fn check_addresses(
        &mut self,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Vec<Option<Denial>>, Denial> {
        let mut instance = self.take()?;
        let verdicts = self.timed(|| instance.check_addresses(request, chain, answers))?;
        self.active.keeper().give_back(&self.active, instance);
        Ok(verdicts)
    }

    #[cfg(test)]
    pub(crate) fn active(&self) -> &Arc<Active> {
        &self.active
    }

    fn timed<T>(&self, question: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let answer = question();
        self.active.pace().add(begun.elapsed());
        answer
    }

    /// The instance, out of the judge: it comes back only when all went well.
    fn take(&mut self) -> Result<Instance, Denial> {
        match mem::replace(&mut self.state, State::Spent) {
            State::Ready(instance) => Ok(instance),
            State::Resting => obtain(&self.active),
            State::Spent => Err(Denial::new(
                Reason::PolicyTrapped,
                "this judge has spoken already",
            )),
        }
    }
}

/// A spare, or one made on the spot.
pub(super) fn obtain(active: &Arc<Active>) -> Result<Instance, Denial> {
    match active.keeper().take(active) {
        Some(spare) => Ok(spare),
        None => Ok(make(active)?),
    }
}

/// Makes an instance on the spot. Used ones that were not wiped yet may hold the last places.
fn make(active: &Active) -> Result<Instance, Fault> {
    active.maker().make().or_else(|fault| {
        let again = fault.reason == Reason::PolicyBusy && active.keeper().wipe(active.stock());
        if again {
            active.maker().make()
        } else {
            Err(fault)
        }
    })
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("policy", self.active.policy_ref())
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn check_target(&mut self, request: &Request) -> Result<Terms, Denial> {
        let labels = bindings::labels(request)?;
        let request = bindings::request(request, &labels);
        let answer = self.ask(|Self { store, policy }| {
            policy
                .pinfold_policy_decide()
                .call_check_target(store, request)
        })?;
        bindings::decision(answer)?
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
