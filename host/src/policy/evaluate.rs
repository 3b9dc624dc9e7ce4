//! A policy outside of a guard: for tools that test and measure policies.

use std::{fmt, net::IpAddr};

use pinfold_addr::{Classifier, Domain, Reason};
use serde_json::Value;

use super::{LoadError, Policies, Source, judge::obtain, pool::Instance};
use crate::{Denial, JudgedAddress, Limits, PolicyRef, Request, Terms};

/// A loaded policy that judges what it is given: no floor, no lookup, no socket.
///
/// ```
/// use pinfold::{Limits, Request, addr::Target, policy::{Evaluator, Source}};
///
/// let policy = Evaluator::load(Source::Shipped, serde_json::json!({}), &Limits::default())?;
/// let request = Request::new(Target::parse("https://example.com/")?);
/// let mut evaluation = policy.start()?;
/// evaluation.check_target(&request)?;
/// let address = policy.classify("10.0.0.1".parse()?);
/// let verdicts = evaluation.check_addresses(&request, &[], &[address])?;
/// assert_eq!(verdicts[0].as_ref().unwrap().code(), "address-not-public");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Evaluator {
    policies: Policies,
    classifier: Classifier,
}

/// One instance of a policy.
///
/// A guard uses an instance for one hop and drops it. Here it may be asked again, which is how the cost
/// of a fresh instance is measured; after any failure it refuses to answer.
pub struct Evaluation {
    /// Gone after a failure.
    instance: Option<Instance>,
}

impl Evaluator {
    /// Loads a policy as a guard would.
    ///
    /// # Errors
    ///
    /// As [`Guard::swap`](crate::Guard::swap).
    pub fn load(source: Source, settings: Value, limits: &Limits) -> Result<Self, LoadError> {
        let policies = Policies::new(limits, None, source, settings)?;
        Ok(Self {
            policies,
            classifier: Classifier::default(),
        })
    }

    /// An instance that was never used: one made ahead of time when there is one, otherwise a new one.
    ///
    /// # Errors
    ///
    /// `policy-busy` when the pool is exhausted.
    pub fn start(&self) -> Result<Evaluation, Denial> {
        Ok(Evaluation {
            instance: Some(obtain(&self.policies.current())?),
        })
    }

    /// Which policy it is.
    pub fn policy(&self) -> PolicyRef {
        PolicyRef::clone(self.policies.current().policy_ref())
    }

    /// An address as the host hands it to a policy, without grants.
    pub fn classify(&self, address: IpAddr) -> JudgedAddress {
        let found = self.classifier.classify(address);
        JudgedAddress {
            address: found.address,
            class: found.class,
            embedded: found.embedded,
            granted: false,
            denial: None,
        }
    }
}

impl Evaluation {
    /// Stage one.
    ///
    /// # Errors
    ///
    /// The policy's denial, or `policy-*` when it failed.
    pub fn check_target(&mut self, request: &Request) -> Result<Terms, Denial> {
        self.ask(|instance| instance.check_target(request))
    }

    /// Stage two: one entry for each address, none where it may be dialled.
    ///
    /// # Errors
    ///
    /// `policy-*` when it failed; that denies all.
    pub fn check_addresses(
        &mut self,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Vec<Option<Denial>>, Denial> {
        self.ask(|instance| instance.check_addresses(request, chain, answers))
    }

    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut Instance) -> Result<T, Denial>,
    ) -> Result<T, Denial> {
        let gone = || Denial::new(Reason::PolicyTrapped, "this instance has failed already");
        let mut instance = self.instance.take().ok_or_else(gone)?;
        let answer = question(&mut instance)?;
        self.instance = Some(instance);
        Ok(answer)
    }
}

impl fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluation").finish_non_exhaustive()
    }
}
