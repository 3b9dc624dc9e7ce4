//! The active policy, replaced at once or not at all.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Judge, LoadError, Source,
    engine::Runtime,
    load::{Loaded, load},
    pool::{Keeper, Maker, Stock},
};
use crate::{Denial, Limits, PolicyRef};

/// A slot that always holds a policy that works: the first one is loaded before the slot exists, and
/// a bad one never gets in.
pub(crate) struct Policies {
    runtime: Arc<Runtime>,
    limits: Limits,
    active: ArcSwap<Active>,
    generation: watch::Sender<u64>,
    /// One swap at a time: the last one asked for is the one that stays.
    swapping: Mutex<()>,
}

impl Policies {
    /// Loads the first policy, generation 1.
    pub(crate) fn new(limits: &Limits, source: Source, settings: Value) -> Result<Self, LoadError> {
        let runtime = Runtime::shared(limits)?;
        let loaded = load(&runtime, limits, &source, settings)?;
        let active = Active::new(Arc::clone(&runtime), limits, loaded, FIRST);
        Ok(Self {
            runtime,
            limits: limits.clone(),
            active: ArcSwap::new(active),
            generation: watch::Sender::new(FIRST),
            swapping: Mutex::new(()),
        })
    }

    /// The active policy. A request holds on to what it got here; a swap does not change it.
    pub(crate) fn current(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Loads a policy on the calling thread and makes it the active one. When it is bad the active
    /// one stays. Returns the new generation.
    pub(crate) fn swap(&self, source: Source, settings: Value) -> Result<u64, LoadError> {
        let _turn = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = load(&self.runtime, &self.limits, &source, settings)?;
        let generation = self.generation.borrow().saturating_add(1);
        let active = Active::new(Arc::clone(&self.runtime), &self.limits, loaded, generation);
        let old = self.active.swap(active);
        old.retire();
        self.generation.send_replace(generation);
        Ok(generation)
    }

    /// Follows the generation: changes after each swap.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

impl Drop for Policies {
    fn drop(&mut self) {
        self.active.load().retire();
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("active", &self.current())
            .finish_non_exhaustive()
    }
}

/// A configured policy under a generation number.
pub(crate) struct Active {
    reference: PolicyRef,
    maker: Maker,
    stock: Stock,
    runtime: Arc<Runtime>,
}

impl Active {
    fn new(runtime: Arc<Runtime>, limits: &Limits, loaded: Loaded, generation: u64) -> Arc<Self> {
        let reference = PolicyRef {
            name: loaded.name,
            digest: loaded.digest,
            settings_digest: loaded.settings_digest,
            generation,
        };
        let stock = Stock::new(limits.policy_spares);
        let active = Self {
            reference,
            maker: loaded.maker,
            stock,
            runtime,
        };
        active.keeper().fill(&active);
        Arc::new(active)
    }

    /// Which policy it is.
    pub(crate) fn policy_ref(&self) -> &PolicyRef {
        &self.reference
    }

    /// A judge for one hop, in an instance that was never used; `policy-busy` when none is free.
    pub(crate) fn judge(self: &Arc<Self>) -> Result<Judge, Denial> {
        Judge::new(Arc::clone(self))
    }

    pub(super) fn keeper(&self) -> &Keeper {
        &self.runtime.keeper
    }

    pub(super) fn maker(&self) -> &Maker {
        &self.maker
    }

    pub(super) fn stock(&self) -> &Stock {
        &self.stock
    }

    fn retire(&self) {
        self.keeper().close(&self.stock);
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active")
            .field("policy", &self.reference)
            .finish_non_exhaustive()
    }
}

/// Generations count from 1, so that 0 means none.
const FIRST: u64 = 1;
