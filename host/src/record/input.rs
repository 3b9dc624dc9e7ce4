//! What the policies were asked for one hop, and what they answered.

use std::{fmt, sync::Arc, time::Duration};

use pinfold_addr::Domain;
use serde::{Deserialize, Serialize};

use super::{Mode, replay::question, wire};
use crate::{Denial, JudgedAddress, PolicyRef, Request, Terms, policy::Active};

/// Whether a guard keeps with each decision what its policies were asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Inputs {
    /// They are left out: the record of a decision holds neither path nor query, unless a policy quotes them in
    /// the detail of a denial. [`Redaction`](crate::record::Redaction) withholds such details. The default.
    #[default]
    Omit,
    /// They are kept, paths and queries included: the decision can be replayed.
    Keep,
}

/// Everything that the policies were asked for one hop, and what each of them answered.
///
/// As JSON: `{"request": {"target", "method", "subject", "labels", "hop", "previous"}, "report", "earlier",
/// "chain", "answers", "floor", "answered"}`; `report` is left out when it is false. A target is written in its [parts](crate::addr::TargetParts);
/// what is read is checked as strictly as a URL, and whatever a guard cannot have recorded is refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "wire::RawInput", into = "wire::RawInput")]
#[non_exhaustive]
pub struct Input {
    /// The hop.
    pub request: Request,
    /// Whether a denial of the policies was only told ([`Session::reporting`](crate::Session::reporting)): then all are
    /// asked about the target, and it is looked up whatever they say. As JSON `true`, or `"names"` where that was so of the
    /// target alone ([`Session::reporting_names`](crate::Session::reporting_names)).
    pub report: Mode,
    /// What earlier hops of the same request, and the host, had laid down before this one was judged.
    pub earlier: Terms,
    /// Aliases that the answer of the lookup came through.
    pub chain: Vec<Domain>,
    /// The addresses as the policies were given them, or would have been, without what was said of them. Empty when there was
    /// no lookup, or none that succeeded; an address literal is its own, only answer, also of a target that
    /// was refused.
    pub answers: Vec<JudgedAddress>,
    /// What the native floor says of each of [`answers`](Self::answers), in their order; none where it
    /// leaves the address to the policies.
    pub floor: Vec<Option<Denial>>,
    /// What each policy that was asked answered, in the order of the chain. Empty when the hop was refused
    /// before any policy was asked.
    pub answered: Vec<Answered>,
}

/// What one policy answered.
///
/// As JSON: `{"policy", "target": {"allow": terms} | {"deny": denial}, "addresses": [null | denial] |
/// {"deny": denial}}`; `addresses` is left out when it was not asked about them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "wire::RawAnswered", into = "wire::RawAnswered")]
#[non_exhaustive]
pub struct Answered {
    /// Which policy, with the digests of its component and of its settings.
    pub policy: PolicyRef,
    /// Stage one: its terms, or its denial, or how it failed.
    pub target: Result<Terms, Denial>,
    /// Stage two: one entry for each address, none where a socket may be opened; or how the policy failed,
    /// which denies all. None when it was not asked: something was refused before, or nothing was found.
    pub addresses: Option<Result<Vec<Option<Denial>>, Denial>>,
}

impl Input {
    /// Whether a policy was asked at all. Otherwise there is nothing to replay: host, floor or earlier
    /// terms refused the hop.
    pub fn was_asked(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Whether an answer is owed to the machine rather than to the policy: it was late, or there was no
    /// place for an instance. Asked again, the policy may well answer.
    pub fn depends_on_machine(&self) -> bool {
        self.answered.iter().any(Answered::depends_on_machine)
    }
}

impl Input {
    /// What is known before anything is asked.
    pub(crate) fn open(request: &Request, earlier: Terms, report: Mode) -> Self {
        Self {
            request: request.clone(),
            report,
            earlier: whole_millis(earlier),
            chain: Vec::new(),
            answers: Vec::new(),
            floor: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// What the target resolves to, and what the floor says of it.
    pub(crate) fn resolve(&mut self, chain: &[Domain], classified: &[JudgedAddress]) {
        self.chain = chain.to_vec();
        self.floor = classified
            .iter()
            .map(|judged| judged.denial.clone())
            .collect();
        let unjudged = |judged: &JudgedAddress| JudgedAddress {
            denial: None,
            ..judged.clone()
        };
        self.answers = classified.iter().map(unjudged).collect();
    }

    /// What policies answered in one stage; stage one is told before stage two.
    pub(crate) fn answer(&mut self, all: Vec<crate::policy::Answered>) {
        for said in all {
            let known = self
                .answered
                .iter_mut()
                .find(|known| known.policy == *said.policy);
            match (known, said.target) {
                (Some(known), _) => known.addresses = said.addresses,
                (None, Some(target)) => self.answered.push(Answered {
                    policy: PolicyRef::clone(&said.policy),
                    target,
                    addresses: said.addresses,
                }),
                // No policy is asked about addresses before it was asked about their target.
                (None, None) => {}
            }
        }
    }

    /// That a policy could not even be asked.
    pub(crate) fn refuse(&mut self, policy: &PolicyRef, denial: &Denial) {
        self.answered.push(Answered {
            policy: policy.clone(),
            target: Err(denial.clone()),
            addresses: None,
        });
    }
}

/// Terms as they are written.
fn whole_millis(terms: Terms) -> Terms {
    let whole =
        |time: Duration| Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Terms {
        connect_timeout: terms.connect_timeout.map(whole),
        total_timeout: terms.total_timeout.map(whole),
        ..terms
    }
}

/// The policies that were asked. They stay as long as somebody holds the decision.
#[derive(Clone, Default)]
pub(crate) struct Judges(Option<Arc<Active>>);

impl Judges {
    pub(crate) fn new(active: &Arc<Active>) -> Self {
        Self(Some(Arc::clone(active)))
    }

    /// Asks the policy that answered `then` about what is left of the input; none when it is not among
    /// them.
    pub(super) fn ask(&self, then: &Answered, left: &Input) -> Option<Answered> {
        let start = self.0.as_ref()?.evaluate(&then.policy)?;
        let addresses = then.addresses.is_some();
        Some(question(then.policy.clone(), start, left, addresses))
    }
}

impl fmt::Debug for Judges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judges").field(&self.0).finish()
    }
}

impl Answered {
    /// Whether the policy refused or failed in stage one.
    pub fn is_refusal(&self) -> bool {
        self.target.is_err()
    }

    /// As [`Input::depends_on_machine`], of one policy.
    pub fn depends_on_machine(&self) -> bool {
        let addresses = self.addresses.as_ref().and_then(|all| all.as_ref().err());
        let failures = [self.target.as_ref().err(), addresses];
        failures.into_iter().flatten().any(is_of_machine)
    }

    /// Whether both say the same, whoever they are.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.target == other.target && self.addresses == other.addresses
    }

    /// Every denial in it.
    pub(super) fn denials_mut(&mut self) -> impl Iterator<Item = &mut Denial> {
        let (each, failed) = match &mut self.addresses {
            Some(Ok(each)) => (&mut each[..], None),
            Some(Err(failed)) => (&mut [][..], Some(failed)),
            None => (&mut [][..], None),
        };
        let target = self.target.as_mut().err();
        target
            .into_iter()
            .chain(failed)
            .chain(each.iter_mut().flatten())
    }
}

fn is_of_machine(denial: &Denial) -> bool {
    use pinfold_addr::Reason::{PolicyBusy, PolicyTimeout};
    matches!(denial.reason(), Some(PolicyBusy | PolicyTimeout))
}
