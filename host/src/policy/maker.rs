//! Makes instances of a policy that has its settings.

use wasmtime::Store;

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
    /// Bytes of linear memory that it has.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }
}

/// Makes instances of one configured policy.
pub(super) struct Maker {
    pre: PolicyPre<Data>,
    budget: Budget,
}

impl Maker {
    pub(super) fn new(pre: PolicyPre<Data>, budget: Budget) -> Self {
        Self { pre, budget }
    }

    /// A fresh instance, or why there is none: most likely that the pool is exhausted.
    pub(super) fn make(&self) -> Result<Instance, Fault> {
        let mut store = limits::store(self.pre.engine(), self.budget);
        match self.pre.instantiate(&mut store) {
            Ok(policy) => Ok(Instance { store, policy }),
            Err(error) => Err(Fault::of_start(&error, store.data())),
        }
    }
}
