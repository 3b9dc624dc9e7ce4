//! No thread enters an interpreter that ends.
//!
//! While the interpreter ends, a thread that wants it is ended by Python itself in the middle of what it does, up to
//! version 3.13; that tears through native frames, and the process aborts. So before it ends, whoever is inside is waited
//! for, and whoever would come later stays outside: for ever, since the process is about to end.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use pyo3::prelude::*;

static ENDING: AtomicBool = AtomicBool::new(false);

/// Threads of ours that are in the interpreter, or on the way into it.
static INSIDE: AtomicIsize = AtomicIsize::new(0);

/// How long the end waits for those inside: they run listeners, which must not block.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(1);

thread_local! {
    /// Whether this thread is the one that ends the interpreter: it alone may go on.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// Runs with the interpreter; not at all when that ends.
pub(crate) fn attach<R>(work: impl for<'py> FnOnce(Python<'py>) -> R) -> Option<R> {
    let _entry = Entry::new()?;
    Python::try_attach(work)
}

/// Runs without the interpreter lock, and comes back only while there is an interpreter.
pub(crate) fn detach<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> R {
    let (result, _entry) = py.detach(|| (work(), Entry::or_never()));
    result
}

/// Before the interpreter ends, and after its last exit handler, which may wait for threads that want in: lets nobody
/// in, and waits for those inside.
#[pyfunction]
pub(crate) fn end(py: Python<'_>) {
    ENDS.set(true);
    ENDING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let began = Instant::now();
        while INSIDE.load(Ordering::SeqCst) > 0 && began.elapsed() < PATIENCE {
            thread::sleep(LOOK);
        }
    });
}

/// In a forked child none of the other threads is there.
pub(crate) fn forget_others() {
    INSIDE.store(0, Ordering::SeqCst);
}

/// The right to enter, until it is dropped.
struct Entry(());

impl Entry {
    fn new() -> Option<Self> {
        let entry = Self(());
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let may_enter = !ENDING.load(Ordering::SeqCst) || ENDS.get();
        may_enter.then_some(entry)
    }

    /// Waits for ever where there is none.
    fn or_never() -> Self {
        loop {
            match Self::new() {
                Some(entry) => return entry,
                None => thread::park(),
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}
