//! What belongs to one process.
//!
//! A forked child inherits memory, not threads: the clock that stops policies, the threads that serve sockets and
//! lookups are gone, and a lock that one of them held stays locked for ever. So what stands on them is used by the
//! process that made it and by no other; in a child it is an error to use it, and it is never torn down there.

use std::{
    mem, process,
    sync::atomic::{AtomicU32, Ordering},
};

use pyo3::PyResult;

use crate::errors;

/// Forks on the way to this process.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// In a forked child: what was made so far is another's.
pub(crate) fn leave() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// This process. The number that the system gives it is not enough, since a grandchild may get that of the first again;
/// the count alone is not, since a program in C may fork and tell nobody.
fn this() -> (u32, u32) {
    (process::id(), FORKS.load(Ordering::Relaxed))
}

/// A value that only the process that made it may touch.
pub(crate) struct Local<T> {
    process: (u32, u32),
    /// None only while it is dropped.
    value: Option<T>,
}

impl<T> Local<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            process: this(),
            value: Some(value),
        }
    }

    /// The value, unless this is another process than the one that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        let value = self.value.as_ref().filter(|_| self.is_here());
        value.ok_or_else(errors::forked)
    }

    fn is_here(&self) -> bool {
        self.process == this()
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        if !self.is_here() {
            mem::forget(self.value.take());
        }
    }
}
