//! A policy outside of a guard: for tools that test and measure policies.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::Ipv6Net;
use pinfold_addr::{Classifier, Domain, InvalidNat64Prefix, Reason, Target};
use serde_json::Value;

use super::{
    Active, Cache, Layer, LoadError, Loading, Policies, Source, floor::Floor, judge::obtain,
    maker::Instance,
};
use crate::{Denial, Grant, JudgedAddress, Limits, PolicyRef, Request, Terms};

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
    /// What it says of an address is used, what it refuses is not.
    floor: Floor,
}

/// How a policy is loaded outside of a guard.
///
/// ```
/// use pinfold::{Limits, policy::{Evaluator, LoadOptions, Source}};
///
/// # let dir = std::env::temp_dir().join(format!("pinfold-options-{}", std::process::id()));
/// let options = LoadOptions::new().code_cache(&dir);
/// Evaluator::load_with(Source::Shipped, serde_json::json!({}), &Limits::default(), &options)?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    code_cache: Option<PathBuf>,
    inert_wasi: bool,
    configure_each: bool,
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
        Self::load_with(source, settings, limits, &LoadOptions::default())
    }

    /// Loads a policy with options.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and when the directory for compiled code is not to be trusted.
    pub fn load_with(
        source: Source,
        settings: Value,
        limits: &Limits,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let alone = Layer::new(Layer::POLICY, source).settings(settings);
        let policies = Policies::chain(limits, options.open()?, vec![alone])?;
        Ok(Self {
            policies,
            floor: Floor::new(Vec::new(), Vec::new(), Classifier::default()),
        })
    }

    /// Classifies as the guard of an operator would who configured these exceptions and these prefixes of
    /// NAT64. Default: none.
    ///
    /// # Errors
    ///
    /// When the length of a prefix is none of RFC 6052's.
    pub fn operated(
        mut self,
        grants: impl IntoIterator<Item = Grant>,
        nat64: impl IntoIterator<Item = Ipv6Net>,
    ) -> Result<Self, InvalidNat64Prefix> {
        let classifier = Classifier::with_nat64(nat64.into_iter().collect())?;
        self.floor = Floor::new(grants.into_iter().collect(), Vec::new(), classifier);
        Ok(self)
    }

    /// An instance that was never used: one made ahead of time when there is one, otherwise a new one.
    ///
    /// # Errors
    ///
    /// `policy-busy` when the pool is exhausted.
    pub fn start(&self) -> Result<Evaluation, Denial> {
        Ok(Evaluation {
            instance: Some(obtain(self.policies.current().member())?),
        })
    }

    /// An instance that is made now, without the stock of those made ahead of time: what it takes can be
    /// measured.
    ///
    /// # Errors
    ///
    /// `policy-busy` when the pool is exhausted.
    pub fn fresh(&self) -> Result<Evaluation, Denial> {
        Ok(Evaluation {
            instance: Some(self.policies.current().member().maker().make()?),
        })
    }

    /// Which policy it is.
    pub fn policy(&self) -> PolicyRef {
        PolicyRef::clone(self.policies.current().policy_ref())
    }

    /// Addresses as the host hands them to a policy for this target, with the operator's exceptions.
    pub fn classify_for(
        &self,
        target: &Target,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Vec<JudgedAddress> {
        let judge = |address| JudgedAddress {
            denial: None,
            ..self.floor.judge(address, target.port())
        };
        addresses.into_iter().map(judge).collect()
    }

    /// An address as the host hands it to a policy, without grants.
    pub fn classify(&self, address: IpAddr) -> JudgedAddress {
        JudgedAddress {
            granted: false,
            denial: None,
            ..self.floor.judge(address, 0)
        }
    }
}

impl Active {
    /// How to get instances of one policy of the chain; none when it is not in it.
    pub(crate) fn evaluate(
        &self,
        policy: &PolicyRef,
    ) -> Option<impl Fn() -> Result<Evaluation, Denial>> {
        let link = self.links().find(|link| *link.reference == *policy)?;
        Some(|| {
            let instance = Some(obtain(&link.member)?);
            Ok(Evaluation { instance })
        })
    }
}

impl LoadOptions {
    /// The defaults: nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps compiled code in this directory, as
    /// [`GuardBuilder::code_cache`](crate::GuardBuilder::code_cache) does. Default: nowhere.
    #[must_use]
    pub fn code_cache(mut self, dir: impl AsRef<Path>) -> Self {
        self.code_cache = Some(dir.as_ref().to_owned());
        self
    }

    /// Grants inert WASI, as [`GuardBuilder::inert_wasi`](crate::GuardBuilder::inert_wasi) does. Default: no.
    #[must_use]
    pub fn inert_wasi(mut self, granted: bool) -> Self {
        self.inert_wasi = granted;
        self
    }

    /// Gives each instance the settings, as [`GuardBuilder::configure_each`](crate::GuardBuilder::configure_each)
    /// does. Default: no.
    #[must_use]
    pub fn configure_each(mut self, each: bool) -> Self {
        self.configure_each = each;
        self
    }

    pub(crate) fn open(&self) -> Result<Loading, LoadError> {
        Ok(Loading {
            cache: self.code_cache.as_deref().map(Cache::open).transpose()?,
            inert_wasi: self.inert_wasi,
            configure_each: self.configure_each,
        })
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

    /// Linear memory of the instance, in bytes; 0 after a failure.
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
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
