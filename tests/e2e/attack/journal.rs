//! What the guard recorded.

use std::sync::{Arc, Mutex};

use pinfold::{Decision, Observer};

/// Keeps every record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Arc<Decision>>>>);

impl Journal {
    /// The records since the last time.
    pub(crate) fn take(&self) -> Vec<Arc<Decision>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Journal {
    fn observe(&self, decision: &Arc<Decision>) {
        self.0.lock().unwrap().push(decision.clone());
    }
}
