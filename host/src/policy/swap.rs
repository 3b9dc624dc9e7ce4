//! The active policy, replaced at once or not at all.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Cache, Fallback, Judge, LoadError, Source,
    engine::Runtime,
    load::{Loaded, Loader},
    maker::Maker,
    pace::Pace,
    pool::{Keeper, Stock},
};
use crate::{Denial, Limits, PolicyRef};

/// A slot that always holds a policy that works: the first one is loaded before the slot exists, and
/// a bad one never gets in.
pub(crate) struct Policies {
    runtime: Arc<Runtime>,
    limits: Limits,
    cache: Option<Cache>,
    active: ArcSwap<Active>,
    generation: watch::Sender<u64>,
    /// Numbers the swaps in the order in which they were asked for.
    tickets: AtomicU64,
    /// The ticket of the swap that was done last. Held for the exchange only: a candidate that is slow
    /// to load keeps no other one from being swapped in.
    done: Mutex<u64>,
}

impl Policies {
    /// Loads the first policy, generation 1.
    pub(crate) fn new(
        limits: &Limits,
        cache: Option<Cache>,
        source: Source,
        settings: Value,
    ) -> Result<Self, LoadError> {
        let runtime = Runtime::shared(limits)?;
        let loader = Loader {
            engines: &runtime.engines,
            limits,
            cache: cache.as_ref(),
        };
        let loaded = loader.load(&source, settings)?;
        let active = Active::new(Arc::clone(&runtime), limits, loaded, FIRST);
        Ok(Self {
            runtime,
            limits: limits.clone(),
            cache,
            active: ArcSwap::new(active),
            generation: watch::Sender::new(FIRST),
            tickets: AtomicU64::new(1),
            done: Mutex::new(0),
        })
    }

    /// The active policy. A request holds on to what it got here; a swap does not change it.
    pub(crate) fn current(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Loads a policy on the calling thread and makes it the active one. When it is bad the active
    /// one stays. Returns the new generation.
    ///
    /// The last one asked for is the one that stays, whichever is loaded first: one that a later swap
    /// has overtaken is left (`LoadError::Overtaken`).
    pub(crate) fn swap(&self, source: Source, settings: Value) -> Result<u64, LoadError> {
        let ticket = self.ticket();
        let loader = Loader {
            engines: &self.runtime.engines,
            limits: &self.limits,
            cache: self.cache.as_ref(),
        };
        let loaded = loader.load(&source, settings)?;
        self.exchange(ticket, loaded)
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn exchange(&self, ticket: u64, loaded: Loaded) -> Result<u64, LoadError> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if *done > ticket {
            return Err(LoadError::Overtaken);
        }
        *done = ticket;
        let generation = self.generation.borrow().saturating_add(1);
        let active = Active::new(Arc::clone(&self.runtime), &self.limits, loaded, generation);
        let old = self.active.swap(active);
        old.retire();
        self.generation.send_replace(generation);
        Ok(generation)
    }

    /// What this machine lacks, and what is done instead.
    pub(crate) fn fallbacks(&self) -> &[Fallback] {
        &self.runtime.fallbacks
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
    reference: Arc<PolicyRef>,
    maker: Maker,
    stock: Stock,
    pace: Pace,
    runtime: Arc<Runtime>,
}

impl Active {
    fn new(runtime: Arc<Runtime>, limits: &Limits, loaded: Loaded, generation: u64) -> Arc<Self> {
        let active = Self {
            reference: Arc::new(loaded.reference(generation)),
            pace: Pace::probed(&loaded.maker),
            maker: loaded.maker,
            stock: Stock::new(limits.policy_spares),
            runtime,
        };
        active.keeper().fill(&active);
        Arc::new(active)
    }

    /// Which policy it is.
    pub(crate) fn policy_ref(&self) -> &Arc<PolicyRef> {
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

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_swap_that_was_asked_for_last_stays() {
        let limits = Limits {
            policy_instances: 16,
            ..Limits::default()
        };
        let policies = Policies::new(&limits, None, Source::Shipped, json!({})).unwrap();
        let loader = Loader {
            engines: &policies.runtime.engines,
            limits: &limits,
            cache: None,
        };
        let slow = policies.ticket();
        let loaded = loader.load(&Source::Shipped, json!({"ports": [80]}));
        // Another one is asked for, loaded and swapped in while the first still loads.
        assert_eq!(policies.swap(Source::Shipped, json!({})), Ok(2));
        let late = policies.exchange(slow, loaded.unwrap());
        assert_eq!(late, Err(LoadError::Overtaken));
        assert_eq!(policies.current().policy_ref().generation, 2);
        // The next one is not held up by that.
        assert_eq!(policies.swap(Source::Shipped, json!({})), Ok(3));
    }
}
