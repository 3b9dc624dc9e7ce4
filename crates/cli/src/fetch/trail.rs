//! The hops of a fetch, told as they happen.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use pinfold::{Decision, Observer};

use crate::{
    explain,
    output::{self, LABEL},
    record::Recorder,
};

/// Takes the decisions. Clones share what they took.
#[derive(Clone, Debug)]
pub(super) struct Trail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verbose: bool,
    recorder: Recorder,
    /// While a rehearsal is under way: its decisions are no hops.
    rehearsing: AtomicBool,
    /// One for each connection that was judged: bounded by the redirects, and by one retry for each.
    decisions: Mutex<Vec<Arc<Decision>>>,
}

impl Trail {
    /// A trail that records each hop, and tells it on standard error, if it is `verbose`.
    pub(super) fn new(verbose: bool, recorder: Recorder) -> Self {
        Self(Arc::new(Inner {
            verbose,
            recorder,
            rehearsing: AtomicBool::new(false),
            decisions: Mutex::default(),
        }))
    }

    /// Leaves out what is decided until this is called with `false`.
    pub(super) fn rehearse(&self, rehearsing: bool) {
        self.0.rehearsing.store(rehearsing, Ordering::Relaxed);
    }

    /// Takes a decision as the next hop.
    pub(super) fn take(&self, decision: &Arc<Decision>) {
        self.0.recorder.observe(decision);
        let mut decisions = self.decisions();
        if self.0.verbose {
            tell(&hop(&decisions, decision), decision);
        }
        decisions.push(Arc::clone(decision));
    }

    fn decisions(&self) -> MutexGuard<'_, Vec<Arc<Decision>>> {
        // A panic elsewhere cannot leave half a decision in it.
        self.0
            .decisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Trail {
    fn observe(&self, decision: &Arc<Decision>) {
        if !self.0.rehearsing.load(Ordering::Relaxed) {
            self.take(decision);
        }
    }
}

/// What a hop is called: its origin, or the redirect that leads there.
fn hop(earlier: &[Arc<Decision>], decision: &Decision) -> String {
    let (number, to) = (decision.hop, &decision.target);
    let before = number.checked_sub(1);
    let from = earlier.iter().rev().find(|from| Some(from.hop) == before);
    match from {
        Some(from) => format!("redirect {number} from {} to {to}", from.target),
        None => to.clone(),
    }
}

fn tell(hop: &str, decision: &Decision) {
    for line in explain::lines_of(hop, decision) {
        output::note(format_args!("{LABEL}*{LABEL:#} {line}"));
    }
}
