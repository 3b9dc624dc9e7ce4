//! What became of a case.

use std::sync::Arc;

use pinfold::{Decision, Denial, JudgedAddress, Request, Terms};
use pinfold_addr::{Domain, Stage};
use serde::Serialize;

use crate::explain::Verdict;

/// The whole result of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judged {
    /// The verdict over the whole chain.
    pub(crate) verdict: Verdict,
    /// Where it was refused. What a later hop is refused for is a refused redirect.
    pub(crate) stage: Option<Stage>,
    /// Why: stage, code and detail as the deciding hop says them.
    pub(crate) denial: Option<Denial>,
    /// Terms of the deciding hop, with those of the hops before it; none when its URL was not understood.
    pub(crate) terms: Option<Terms>,
    /// The addresses of the deciding hop and what became of each.
    pub(crate) addresses: Vec<JudgedAddress>,
    /// The hop that decided: the one that was refused, otherwise the last. The first is 0.
    pub(crate) hop: usize,
    /// The records of the hops, in order; none of a policy that was asked alone, and of a URL that was not
    /// understood.
    #[serde(skip)]
    pub(crate) decisions: Vec<Arc<Decision>>,
    /// What a policy is asked at each hop that was reached, whether or not it was.
    #[serde(skip)]
    pub(crate) asked: Vec<Asked>,
    /// Every refusal that the policy itself answered, at any hop and of any address; known only of a
    /// policy that was asked alone.
    #[serde(skip)]
    pub(crate) answered: Vec<Denial>,
}

/// What a policy is asked at one hop: both stages, as the host asks them.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The request of both stages.
    pub(crate) request: Request,
    /// The aliases that the answer came through.
    pub(crate) chain: Vec<Domain>,
    /// The addresses, classified; empty when there is no usable answer, and stage two is not asked.
    pub(crate) answers: Vec<JudgedAddress>,
}

impl Judged {
    /// The code of the refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        self.denial.as_ref().map(Denial::code)
    }

    /// The addresses that may be dialled.
    pub(crate) fn survivors(&self) -> impl Iterator<Item = &JudgedAddress> {
        let allowed = self.verdict == Verdict::Allow;
        let kept = move |judged: &&JudgedAddress| allowed && judged.denial.is_none();
        self.addresses.iter().filter(kept)
    }
}
