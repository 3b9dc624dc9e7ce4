//! Judges cases by the policy alone: what is left when there is no floor.

use pinfold::{
    Denial, JudgedAddress, Terms,
    policy::{Evaluator, LoadError},
    resolve::{Answers, ResolveError},
};
use pinfold_addr::Reason;

use super::{
    Asked, Case, Judged, Setup,
    walk::{Caller, Classes, Hops, walk},
};
use crate::{explain::Verdict, options};

/// A policy without a guard round it. Reading URLs and following redirects is the host's business and
/// stays as it is; nothing is refused that the policy does not refuse.
#[derive(Debug)]
pub(crate) struct Alone {
    policy: Evaluator,
    classes: Classes,
    caller: Caller,
}

impl Alone {
    /// Loads the policy.
    ///
    /// # Errors
    ///
    /// As a guard says it.
    pub(crate) fn load(setup: &Setup) -> Result<Self, LoadError> {
        let (source, settings) = (setup.source.clone(), setup.settings.clone());
        let load = options::loading(setup.cache.as_deref())
            .inert_wasi(setup.inert_wasi)
            .configure_each(setup.configure_each);
        Ok(Self {
            policy: Evaluator::load_with(source, settings, &options::limits(), &load)?,
            classes: Classes::new(&setup.grants, &setup.nat64).unwrap_or_default(),
            caller: Caller::default(),
        })
    }

    /// Judges a case along its redirects.
    pub(crate) async fn judge(&self, case: &Case) -> Judged {
        let mut hops = Policy {
            of: self,
            terms: Terms::default(),
            addresses: Vec::new(),
            answered: Vec::new(),
        };
        let walk = walk(case, &self.caller, &self.classes, &mut hops).await;
        Judged {
            verdict: Verdict::of(walk.denial.as_ref()),
            stage: walk.stage(),
            terms: walk.has_target.then_some(hops.terms),
            addresses: if walk.has_target {
                hops.addresses
            } else {
                Vec::new()
            },
            hop: walk.hop,
            denial: walk.denial,
            asked: walk.asked,
            decisions: Vec::new(),
            answered: hops.answered,
        }
    }
}

/// Hops that a policy judges.
struct Policy<'a> {
    of: &'a Alone,
    terms: Terms,
    /// Of the hop that was judged last.
    addresses: Vec<JudgedAddress>,
    /// Every refusal that the policy answered.
    answered: Vec<Denial>,
}

impl Hops for Policy<'_> {
    async fn hop(
        &mut self,
        asked: &Asked,
        answers: Result<Answers, ResolveError>,
    ) -> Result<(), Denial> {
        self.addresses.clear();
        let mut instance = self.of.policy.start()?;
        let terms = instance.check_target(&asked.request);
        let terms = terms.inspect_err(|denial| self.answered.push(denial.clone()))?;
        self.terms = self.terms.tightened(terms);
        answers.map_err(|error| Denial::new(error.reason, error.detail))?;
        let Asked {
            request,
            chain,
            answers,
        } = asked;
        let verdicts = instance.check_addresses(request, chain, answers);
        self.judged(answers, verdicts?)
    }
}

impl Policy<'_> {
    /// What is left decides, as in a guard.
    fn judged(
        &mut self,
        answers: &[JudgedAddress],
        verdicts: Vec<Option<Denial>>,
    ) -> Result<(), Denial> {
        self.answered.extend(verdicts.iter().flatten().cloned());
        let judge = |(answer, denial): (&JudgedAddress, Option<Denial>)| JudgedAddress {
            denial,
            ..answer.clone()
        };
        self.addresses = answers.iter().zip(verdicts).map(judge).collect();
        let is_allowed = self.addresses.iter().any(|judged| judged.denial.is_none());
        match self.refusal() {
            Some(denial) if !is_allowed => Err(denial),
            _ => Ok(()),
        }
    }

    /// The reason that stands for the whole answer: that good and bad were mixed, otherwise the first.
    fn refusal(&self) -> Option<Denial> {
        let denials = || {
            self.addresses
                .iter()
                .filter_map(|judged| judged.denial.as_ref())
        };
        let mixed = denials().find(|denial| denial.reason() == Some(Reason::AnswersMixed));
        mixed.or_else(|| denials().next()).cloned()
    }
}
