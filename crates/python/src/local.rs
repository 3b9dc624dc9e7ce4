//! What belongs to one process.
//!
//! A forked child inherits memory, not threads: the clock that stops policies, the threads that serve sockets and
//! lookups are gone, and a lock that one of them held stays locked for ever. So what stands on them is used by the
//! process that made it and by no other; in a child it is an error to use it, and it is never torn down there.

use std::{mem, process};

use pyo3::PyResult;

use crate::errors;

/// A value that only the process that made it may touch.
pub(crate) struct Local<T> {
    process: u32,
    /// None only while it is dropped.
    value: Option<T>,
}

impl<T> Local<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            process: process::id(),
            value: Some(value),
        }
    }

    /// The value, unless this is another process than the one that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        let value = self.value.as_ref().filter(|_| self.is_here());
        value.ok_or_else(errors::forked)
    }

    fn is_here(&self) -> bool {
        self.process == process::id()
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        if !self.is_here() {
            mem::forget(self.value.take());
        }
    }
}
