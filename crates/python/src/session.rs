//! One request with its redirects, under one generation of the policy.

use std::{sync::Arc, time::Duration};

use pinfold::{Denial, Error, Pinned, Request};
use pinfold_addr::Reason;
use pyo3::prelude::*;
use tokio::time::timeout;

use crate::{
    asking::Asking,
    errors::Failure,
    limits,
    local::Local,
    pin::Pin,
    runtime::{Task, Threads},
    target::Asked,
};

/// One request with its redirects.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Session(Local<Inner>);

#[derive(Clone)]
struct Inner {
    guard: pinfold::Guard,
    session: Arc<pinfold::Session>,
    asking: Arc<Asking>,
    threads: Threads,
}

impl Session {
    pub(crate) fn new(
        guard: pinfold::Guard,
        session: pinfold::Session,
        asking: Asking,
        threads: Threads,
    ) -> Self {
        Self(Local::new(Inner {
            guard,
            session: Arc::new(session),
            asking: Arc::new(asking),
            threads,
        }))
    }
}

#[pymethods]
impl Session {
    /// Judges, resolves once, and pins. `redirect`: a redirect of the hop before leads there, and a text is its `Location`.
    /// `within`: seconds.
    #[pyo3(signature = (url, method = "GET", redirect = false, within = None))]
    fn pin(
        &self,
        py: Python<'_>,
        url: Asked<'_>,
        method: &str,
        redirect: bool,
        within: Option<f64>,
    ) -> PyResult<Pin> {
        let inner = self.0.get()?;
        let work = inner.clone().judge(url, method, redirect, within)?;
        Ok(inner.threads.wait(py, work)??)
    }

    /// As `pin`, in the background.
    #[pyo3(signature = (done, url, method = "GET", redirect = false, within = None))]
    fn pin_soon(
        &self,
        py: Python<'_>,
        done: Py<PyAny>,
        url: Asked<'_>,
        method: &str,
        redirect: bool,
        within: Option<f64>,
    ) -> PyResult<Task> {
        let inner = self.0.get()?;
        let work = inner.clone().judge(url, method, redirect, within)?;
        inner.threads.start_work(py, work, done)
    }

    /// Generation of the policy that judges it.
    #[getter]
    fn generation(&self) -> PyResult<u64> {
        Ok(self.0.get()?.session.policy().generation)
    }
}

impl Inner {
    fn judge(
        self,
        url: Asked<'_>,
        method: &str,
        redirect: bool,
        within: Option<f64>,
    ) -> PyResult<impl Future<Output = Result<Pin, Failure>> + Send + use<>> {
        let within = within.map(limits::duration).transpose()?;
        let target = match redirect {
            true => url.location(&self.asking)?,
            false => url.target()?,
        };
        let request = self.asking.hop(target, method, redirect);
        Ok(async move {
            let pinned = self.pinned(request, within).await?;
            Ok(Pin::new(self.guard, pinned, self.threads))
        })
    }

    async fn pinned(&self, request: Request, within: Option<Duration>) -> Result<Pinned, Error> {
        let pinned = self.session.pin(request);
        match within {
            None => pinned.await,
            Some(within) => timeout(within, pinned)
                .await
                .unwrap_or_else(|_| Err(too_late())),
        }
    }
}

fn too_late() -> Error {
    Error::Network {
        denial: Denial::new(
            Reason::DeadlineExceeded,
            "the name was not looked up in time",
        ),
        decision: None,
    }
}
