//! One policy is loaded at a time, and none while the process forks.
//!
//! Loading takes locks, of the engine and of its compiler, that all guards of the process share. A child forked while
//! another thread holds one would wait for it for ever. An atomic flag, and not a mutex, because the flag itself must
//! survive the fork.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use pyo3::prelude::*;

static BUSY: AtomicBool = AtomicBool::new(false);

/// How often a thread that waits looks. Loading takes some hundred times as long.
const LOOK: Duration = Duration::from_millis(1);

/// The right to load, until it is dropped.
pub(crate) struct Loading(());

impl Loading {
    /// Waits for it, on a thread without the interpreter lock.
    pub(crate) fn begin() -> Self {
        while BUSY.swap(true, Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        Self(())
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}

/// Before a fork: waits until nothing is loaded, and lets nothing be.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| std::mem::forget(Loading::begin()));
}

/// After a fork, in parent and child.
#[pyfunction]
pub(crate) fn after_fork() {
    BUSY.store(false, Ordering::Release);
}
