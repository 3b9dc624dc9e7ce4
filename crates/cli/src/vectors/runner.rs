//! Judges cases by a real guard, floor included, as a service would.

use std::path::PathBuf;

use ipnet::Ipv6Net;
use pinfold::{
    Denial, Grant, Guard, GuardBuilder, Session,
    policy::{LoadError, Source},
    resolve::{Answers, ResolveError},
};
use serde_json::Value;

use super::{
    Asked, Case, Judged,
    script::{Recorder, Script},
    walk::{Caller, Classes, Hops, Walk, walk},
};
use crate::{explain::Verdict, options};

/// What a guard is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The policy.
    pub(crate) source: Source,
    /// Its settings.
    pub(crate) settings: Value,
    /// The operator's exceptions to the floor.
    pub(crate) grants: Vec<Grant>,
    /// NAT64 prefixes of the operator's network.
    pub(crate) nat64: Vec<Ipv6Net>,
    /// Where compiled policies are kept.
    pub(crate) cache: Option<PathBuf>,
    /// The operator grants inert WASI.
    pub(crate) inert_wasi: bool,
    /// Each instance takes the settings: nothing is compiled for these settings alone.
    pub(crate) configure_each: bool,
}

impl Setup {
    /// This policy with its default settings.
    pub(crate) fn of(source: Source) -> Self {
        Self {
            source,
            settings: Value::Object(serde_json::Map::new()),
            grants: Vec::new(),
            nat64: Vec::new(),
            cache: None,
            inert_wasi: false,
            configure_each: false,
        }
    }
}

/// A guard with the two ends that a test holds in its hands: what names resolve to, and the records.
#[derive(Debug)]
pub(crate) struct Runner {
    guard: Guard,
    script: Script,
    recorder: Recorder,
    classes: Classes,
    caller: Caller,
}

impl Runner {
    /// Loads the policy.
    ///
    /// # Errors
    ///
    /// As the guard says it.
    pub(crate) fn load(setup: &Setup) -> Result<Self, LoadError> {
        let runner = Self::of(Caller::default(), |guard| {
            let guard = guard
                .policy(setup.source.clone())
                .settings(setup.settings.clone())
                .grants(setup.grants.iter().copied())
                .nat64(setup.nat64.iter().copied())
                .inert_wasi(setup.inert_wasi)
                .configure_each(setup.configure_each)
                .limits(options::limits());
            match &setup.cache {
                Some(dir) => guard.code_cache(dir).build(),
                None => guard.build(),
            }
        })?;
        // The guard was built with these prefixes: they are good.
        let classes = Classes::new(&setup.grants, &setup.nat64).unwrap_or_default();
        Ok(Self { classes, ..runner })
    }

    /// A guard that the caller builds, for cases that say nothing of who asks.
    pub(crate) fn of<E>(
        caller: Caller,
        build: impl FnOnce(GuardBuilder) -> Result<Guard, E>,
    ) -> Result<Self, E> {
        let (script, recorder) = (Script::default(), Recorder::default());
        let guard = Guard::builder()
            .resolver(script.clone())
            .observer(recorder.clone());
        Ok(Self {
            guard: build(guard)?,
            script,
            recorder,
            classes: Classes::default(),
            caller,
        })
    }

    /// Judges a case along its redirects, in one session.
    pub(crate) async fn judge(&self, case: &Case) -> Judged {
        self.recorder.take();
        let session = self.guard.session();
        let mut hops = Guarded {
            session: &session,
            script: &self.script,
        };
        let walk = walk(case, &self.caller, &self.classes, &mut hops).await;
        self.judged(walk)
    }

    fn judged(&self, walk: Walk) -> Judged {
        let decisions = self.recorder.take();
        let deciding = decisions.last().filter(|_| walk.has_target);
        Judged {
            verdict: Verdict::of(walk.denial.as_ref()),
            stage: walk.stage(),
            terms: deciding.map(|decision| decision.terms),
            addresses: deciding.map_or_else(Vec::new, |decision| decision.addresses.clone()),
            hop: walk.hop,
            denial: walk.denial,
            decisions,
            asked: walk.asked,
            answered: Vec::new(),
        }
    }
}

/// Hops that a guard judges.
struct Guarded<'a> {
    session: &'a Session,
    script: &'a Script,
}

impl Hops for Guarded<'_> {
    async fn hop(
        &mut self,
        asked: &Asked,
        answers: Result<Answers, ResolveError>,
    ) -> Result<(), Denial> {
        self.script.set(answers);
        let pinned = self.session.pin(asked.request.clone()).await;
        pinned.map(drop).map_err(|error| error.denial().clone())
    }
}
