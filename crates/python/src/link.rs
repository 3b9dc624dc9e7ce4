//! What an open connection was opened for.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pinfold::{Guard, Held};
use pyo3::prelude::*;

use crate::{decision::Decision, errors, local::Local, runtime::Threads, target::Target};

/// What an open connection was opened for, or is used for now.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Link {
    inner: Local<Inner>,
    decision: Decision,
}

struct Inner {
    guard: Guard,
    threads: Threads,
    held: Held,
    target: Target,
    /// Generation of the policy that judged.
    generation: u64,
    /// The generation up to which it is known to be allowed.
    judged: AtomicU64,
}

impl Link {
    pub(crate) fn new(
        guard: Guard,
        threads: Threads,
        held: Held,
        decision: Arc<pinfold::Decision>,
    ) -> Self {
        let generation = decision.policy.generation;
        let target = Target::new(held.target().clone());
        Self {
            inner: Local::new(Inner {
                guard,
                threads,
                held,
                target,
                generation,
                judged: AtomicU64::new(generation),
            }),
            decision: Decision::new(decision),
        }
    }

    pub(crate) fn peer(&self) -> PyResult<SocketAddr> {
        Ok(self.inner.get()?.held.peer())
    }

    /// Whether it was opened by this guard, under this generation, for the origin of this target.
    pub(crate) fn serves(&self, guard: &Guard, target: &Target, generation: u64) -> PyResult<bool> {
        let inner = self.inner.get()?;
        Ok(inner.guard.is(guard) && inner.generation == generation && inner.target.is_at(target))
    }
}

#[pymethods]
impl Link {
    /// The confirmed peer, `(address, port)`. For the operator.
    #[getter]
    fn address(&self) -> PyResult<(String, u16)> {
        let peer = self.peer()?;
        Ok((peer.ip().to_string(), peer.port()))
    }

    #[getter]
    fn target(&self) -> PyResult<Target> {
        Ok(self.inner.get()?.target.clone())
    }

    #[getter]
    fn generation(&self) -> PyResult<u64> {
        Ok(self.inner.get()?.generation)
    }

    /// The record of the hop.
    #[getter]
    fn decision(&self) -> Decision {
        self.decision.clone()
    }

    /// Raises when the policy of now refuses what it was opened for. Costs nothing while no policy was swapped.
    fn confirm(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner.get()?;
        let active = *inner.guard.generation().borrow();
        if inner.judged.load(Ordering::Acquire) == active {
            return Ok(());
        }
        let judged = inner.guard.rejudge(&inner.held, inner.held.mode());
        match inner.threads.wait(py, judged)? {
            Ok(_) => inner.judged.store(active, Ordering::Release),
            Err(denial) => return Err(errors::denied(&denial)),
        }
        Ok(())
    }
}
