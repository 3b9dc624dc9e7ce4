//! What must stand still while the process forks.
//!
//! Only the thread that forks is in the child. What another one was in the middle of stays half done there: a lock that it
//! held would be waited for for ever. So the few things that have locks without the interpreter lock are done behind
//! gates, and a fork closes the gates first. Gates are atomic flags, and not locks, because they themselves must survive it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use pyo3::prelude::*;

use crate::{ending, local};

/// Loading policies: it takes locks, of the engine and of its compiler, that all guards of the process share.
pub(crate) static LOADING: Gate = Gate::new();

/// Looking at fixed answers, which outlive a fork.
pub(crate) static ANSWERS: Gate = Gate::new();

/// How often a thread that waits looks. Loading takes some hundred times as long.
const LOOK: Duration = Duration::from_millis(1);

/// Lets one thread through at a time, and none while the process forks.
pub(crate) struct Gate(AtomicBool);

/// The right to be behind a gate, until it is dropped.
pub(crate) struct Behind(&'static Gate);

impl Gate {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Waits for its turn. The thread must not have the interpreter lock: whoever forks needs that.
    pub(crate) fn pass(&'static self) -> Behind {
        while self.0.swap(true, Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        Behind(self)
    }

    fn open(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Before a fork: waits until nobody is behind a gate, and lets nobody through.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    ending::detach(py, || {
        std::mem::forget(LOADING.pass());
        std::mem::forget(ANSWERS.pass());
    });
}

/// After a fork, in the parent.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    ANSWERS.open();
    LOADING.open();
}

/// After a fork, in the child.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    ending::forget_others();
    local::leave();
    after_fork_in_parent();
}
