//! Makes instances of a policy that has its settings.

use wasmtime::Store;

use pinfold_addr::Reason;

use super::{
    bindings::{Policy, PolicyPre},
    fault::Fault,
    limits::{self, Budget, Data},
};

/// One instance of a configured policy. What has been called once is never called for another hop.
pub(super) struct Instance {
    pub(super) store: Store<Data>,
    pub(super) policy: Policy,
}

impl Instance {
    /// Takes settings that another instance has taken.
    fn configure(&mut self, json: &str) -> Result<(), Fault> {
        let Self { store, policy } = self;
        limits::restart_clock(store);
        match policy
            .pinfold_policy_settings()
            .call_configure(&mut *store, json)
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Fault {
                reason: Reason::PolicyTrapped,
                detail: "it refuses settings that it took before".into(),
            }),
            Err(error) => Err(Fault::of(&error, store.data())),
        }
    }

    /// Bytes of linear memory that it has.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }
}

/// Makes instances of one configured policy.
pub(super) struct Maker {
    pre: PolicyPre<Data>,
    budget: Budget,
    /// What each instance is configured with, where there is no snapshot to begin from.
    each: Option<Each>,
}

/// How an instance gets its settings that does not have them from the beginning.
struct Each {
    settings: String,
    budget: Budget,
}

impl Maker {
    pub(super) fn new(pre: PolicyPre<Data>, budget: Budget) -> Self {
        Self {
            pre,
            budget,
            each: None,
        }
    }

    /// Makes instances that take their settings one by one, each within `setup`.
    pub(super) fn configuring_each(self, settings: String, setup: Budget) -> Self {
        let each = Some(Each {
            settings,
            budget: setup,
        });
        Self { each, ..self }
    }

    /// Whether an instance takes long to make: it has to take its settings first.
    pub(super) fn is_dear(&self) -> bool {
        self.each.is_some()
    }

    /// A fresh instance, or why there is none: most likely that the pool is exhausted.
    pub(super) fn make(&self) -> Result<Instance, Fault> {
        let first = self.each.as_ref().map_or(self.budget, |each| each.budget);
        let mut store = limits::store(self.pre.engine(), first);
        let mut instance = match self.pre.instantiate(&mut store) {
            Ok(policy) => Instance { store, policy },
            Err(error) => return Err(Fault::of_start(&error, store.data())),
        };
        if let Some(each) = &self.each {
            instance.configure(&each.settings)?;
            limits::restrict(&mut instance.store, self.budget);
        }
        Ok(instance)
    }
}
