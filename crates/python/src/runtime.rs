//! The threads of a guard, and the two ways to wait for them.

use std::{
    cell::Cell,
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::AbortHandle,
    time::timeout,
};

use crate::{
    ending,
    errors::{self, Failure},
    local::Local,
};

/// Threads that serve sockets and lookups. Waiting is most of what they do.
const WORKERS: usize = 2;

/// Threads on which policies run that take long.
const BLOCKING: usize = 16;

/// How often a thread that waits looks whether a signal came: what Ctrl-C waits for at most.
const SIGNALS: Duration = Duration::from_millis(100);

const INSIDE: &str =
    "a listener of decisions must not ask a guard: it is called in the middle of a decision";

thread_local! {
    /// Whether this thread tells a listener of a decision.
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// Tells a listener: it cannot wait for another decision meanwhile.
pub(crate) fn telling<R>(tell: impl FnOnce() -> R) -> R {
    let before = TELLS.replace(true);
    let told = tell();
    TELLS.set(before);
    told
}

/// The threads of one guard.
#[derive(Clone)]
pub(crate) struct Threads(Arc<Owned>);

/// Stops without waiting: the last one to let go may be one of its own threads, which cannot wait for itself.
struct Owned(Option<Runtime>);

impl Threads {
    pub(crate) fn start() -> PyResult<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING)
            .thread_name("pinfold")
            .enable_all()
            .build()?;
        Ok(Self(Arc::new(Owned(Some(runtime)))))
    }

    /// Waits on this thread, without the interpreter lock, and lets signals interrupt.
    pub(crate) fn wait<F>(&self, py: Python<'_>, work: F) -> PyResult<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        let runtime = self.runtime()?;
        if TELLS.get() || Handle::try_current().is_ok() {
            return Err(PyRuntimeError::new_err(INSIDE));
        }
        ending::detach(py, || runtime.block_on(interruptible(work)))
    }

    /// Goes on in the background and calls `done(result, error)` on a thread of its own; one of both is `None`. What is
    /// done at once, a literal or an answer that is kept, is told before this returns: another thread would cost more.
    pub(crate) fn start_work<F, T>(
        &self,
        py: Python<'_>,
        work: F,
        done: Py<PyAny>,
    ) -> PyResult<Task>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let runtime = self.runtime()?;
        let mut work = Box::pin(work);
        let first = ending::detach(py, || {
            let _inside = runtime.enter();
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        });
        if let Poll::Ready(result) = first {
            // A signal that comes meanwhile is for the caller.
            tell(py, result, &done)?;
            return Ok(Task(Local::new(None)));
        }
        // It is polled anew there, so that nothing waits for the waker of here.
        let task = runtime.spawn(work);
        let handle = task.abort_handle();
        runtime.spawn(async move {
            let result = match task.await {
                Ok(result) => result,
                Err(error) if error.is_panic() => Err(Failure::Panic),
                // Whoever cancelled it waits no longer.
                Err(_) => return,
            };
            // None while the interpreter ends: then nobody waits.
            let _ = ending::attach(|py| {
                if let Err(error) = tell(py, result, &done) {
                    // The loop that waited is closed.
                    error.write_unraisable(py, None);
                }
            });
        });
        Ok(Task(Local::new(Some(handle))))
    }

    fn runtime(&self) -> PyResult<&Runtime> {
        self.0.0.as_ref().ok_or_else(errors::forked)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Looks now and then whether a signal came.
async fn interruptible<F: Future>(work: F) -> PyResult<F::Output> {
    let mut work = std::pin::pin!(work);
    loop {
        if let Ok(done) = timeout(SIGNALS, &mut work).await {
            return Ok(done);
        }
        // None while the interpreter ends: then there are no more signals.
        ending::attach(signals).unwrap_or(Ok(()))?;
    }
}

fn signals(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}

fn tell<T>(py: Python<'_>, result: Result<T, Failure>, done: &Py<PyAny>) -> PyResult<()>
where
    T: for<'py> IntoPyObject<'py>,
{
    match result {
        Ok(value) => done.call1(py, (value, py.None()))?,
        Err(failure) => done.call1(py, (py.None(), PyErr::from(failure)))?,
    };
    Ok(())
}

/// Work in the background; none when it was done at once.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Task(Local<Option<AbortHandle>>);

#[pymethods]
impl Task {
    /// Ends it. `done` is not called any more, unless that has begun.
    fn cancel(&self) -> PyResult<()> {
        if let Some(task) = self.0.get()? {
            task.abort();
        }
        Ok(())
    }
}
