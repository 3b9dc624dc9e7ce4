//! Hands decisions to the candidate that watches, and never waits for it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use pinfold::PolicyRef;

use super::{
    tally::{Report, Tally},
    worker::Running,
};
use crate::{
    event::{Event, Sink},
    policy::CandidateLayer,
};

/// A sink of the bus: without a candidate it does nothing.
#[derive(Default)]
pub(crate) struct Feed {
    running: ArcSwapOption<Running>,
}

/// What is known of a candidate that watches, and what it would have decided.
pub(super) struct Watched {
    /// Exactly what watches: promoted, it is this that is swapped in.
    pub(super) layer: CandidateLayer,
    pub(super) policy: PolicyRef,
    /// Whether the configuration named it, and not an operator.
    pub(super) configured: bool,
    pub(super) stopped: AtomicBool,
    /// Decisions that came while the queue was full.
    dropped: AtomicU64,
    tally: Mutex<Tally>,
}

impl Feed {
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        self.running.load_full()
    }

    pub(super) fn put_in(&self, running: Running) -> Option<Arc<Running>> {
        self.running.swap(Some(Arc::new(running)))
    }

    pub(super) fn take_out(&self) -> Option<Arc<Running>> {
        self.running.swap(None)
    }

    /// Takes it out unless another one is there by now.
    pub(super) fn take_out_only(&self, running: &Arc<Running>) -> bool {
        let before = self.running.compare_and_swap(running, None);
        before
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, running))
    }
}

impl Sink for Feed {
    fn take(&self, event: &Event) {
        if let Event::Decided(decided) = event
            && let Some(running) = &*self.running.load()
        {
            running.offer(decided);
        }
    }
}

impl Watched {
    pub(super) fn new(layer: CandidateLayer, policy: PolicyRef, configured: bool) -> Self {
        Self {
            layer,
            policy,
            configured,
            stopped: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            tally: Mutex::new(Tally::new()),
        }
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count<T>(&self, count: impl FnOnce(&mut Tally) -> T) -> T {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn report(&self, watching: bool) -> Report {
        let dropped = self.dropped.load(Ordering::Relaxed);
        self.count(|tally| tally.report(self, watching, dropped))
    }
}
