//! Judged addresses of one hop, and the socket that is made from them.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pinfold::{Connection, Guard, Pinned, Terms};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{
    decision::Decision,
    errors::{self, Failure},
    limits,
    link::Link,
    local::Local,
    runtime::{Task, Threads},
    target::Target,
};

/// Proof that every address in it was judged. It is spent once: connected, used for a kept connection, or handed over.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Pin {
    inner: Local<Inner>,
    target: Target,
    addresses: Vec<SocketAddr>,
    generation: u64,
    terms: Terms,
}

struct Inner {
    guard: Guard,
    /// None once it is spent.
    pinned: Mutex<Option<Pinned>>,
    threads: Threads,
}

impl Pin {
    pub(crate) fn new(guard: Guard, pinned: Pinned, threads: Threads) -> Self {
        Self {
            target: Target::new(pinned.target().clone()),
            addresses: pinned.addresses().to_vec(),
            generation: pinned.generation(),
            terms: *pinned.terms(),
            inner: Local::new(Inner {
                guard,
                pinned: Mutex::new(Some(pinned)),
                threads,
            }),
        }
    }

    fn spend(&self) -> PyResult<(&Inner, Pinned)> {
        let inner = self.inner.get()?;
        let mut pinned = inner.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let spent =
            || PyRuntimeError::new_err("this pin is spent: a pin is good for one connection");
        Ok((inner, pinned.take().ok_or_else(spent)?))
    }
}

#[pymethods]
impl Pin {
    #[getter]
    fn target(&self) -> Target {
        self.target.clone()
    }

    /// `(address, port)`, in the order they are tried. For the operator.
    #[getter]
    fn addresses(&self) -> Vec<(String, u16)> {
        let pair = |address: &SocketAddr| (address.ip().to_string(), address.port());
        self.addresses.iter().map(pair).collect()
    }

    /// Generation of the policy that judged.
    #[getter]
    fn generation(&self) -> u64 {
        self.generation
    }

    /// What the exchange must obey; times in seconds, what is `None` left to whoever performs it.
    #[getter]
    fn terms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let terms = PyDict::new(py);
        terms.set_item("connect_timeout", seconds(self.terms.connect_timeout))?;
        terms.set_item("total_timeout", seconds(self.terms.total_timeout))?;
        terms.set_item("response_bytes", self.terms.response_bytes)?;
        terms.set_item("redirects", self.terms.redirects)?;
        terms.set_item("https_only", self.terms.https_only)?;
        Ok(terms)
    }

    /// Whether a kept connection may be used for it: same guard, same generation, a pinned peer, the same target.
    fn accepts(&self, link: &Link) -> PyResult<bool> {
        let inner = self.inner.get()?;
        Ok(link.serves(&inner.guard, &self.target, self.generation)?
            && self.addresses.contains(&link.peer()?))
    }

    /// Spends it on a kept connection.
    fn reuse(&self, link: &Link) -> PyResult<Link> {
        if !self.accepts(link)? {
            return Err(PyRuntimeError::new_err(
                "this connection was opened for something else: ask `accepts` first",
            ));
        }
        let (inner, pinned) = self.spend()?;
        let reused = pinned.reused(link.peer()?).map_err(errors::failed)?;
        Ok(Link::new(
            inner.guard.clone(),
            inner.threads.clone(),
            reused.held,
            reused.decision,
        ))
    }

    /// Spends it on addresses that somebody else dials.
    fn hand_over(&self) -> PyResult<Decision> {
        let (_, pinned) = self.spend()?;
        let handed = pinned.hand_over().map_err(errors::failed)?;
        Ok(Decision::new(handed.decision))
    }

    /// Connects: file descriptor and link. `within`: seconds for all attempts together.
    #[pyo3(signature = (within = None))]
    fn connect(&self, py: Python<'_>, within: Option<f64>) -> PyResult<(Fd, Link)> {
        let (inner, work) = self.dial(within)?;
        Ok(inner.threads.wait(py, work)?.map(Open::parts)?)
    }

    /// As `connect`, in the background.
    #[pyo3(signature = (done, within = None))]
    fn connect_soon(&self, py: Python<'_>, done: Py<PyAny>, within: Option<f64>) -> PyResult<Task> {
        let (inner, work) = self.dial(within)?;
        inner.threads.start_work(py, work, done)
    }
}

impl Pin {
    fn dial(
        &self,
        within: Option<f64>,
    ) -> PyResult<(
        &Inner,
        impl Future<Output = Result<Open, Failure>> + Send + use<>,
    )> {
        let within = within.map(limits::duration).transpose()?;
        let (inner, pinned) = self.spend()?;
        let pinned = match within {
            Some(within) => pinned.within(within),
            None => pinned,
        };
        let (guard, threads) = (inner.guard.clone(), inner.threads.clone());
        Ok((inner, async move {
            let connection = guard.connector().connect(pinned).await;
            Ok(Open::new(guard, threads, connection?)?)
        }))
    }
}

/// What Python calls a socket by.
#[cfg(unix)]
type Fd = std::os::fd::RawFd;
#[cfg(windows)]
type Fd = u64;

/// A connected socket that nobody has taken yet: it is closed when that does not happen.
pub(crate) struct Open {
    stream: std::net::TcpStream,
    link: Link,
}

impl Open {
    fn new(guard: Guard, threads: Threads, connection: Connection) -> io::Result<Self> {
        let (held, decision) = (connection.held(), connection.decision().clone());
        let stream = connection.into_stream().into_std()?;
        let link = Link::new(guard, threads, held, decision);
        Ok(Self { stream, link })
    }

    #[cfg(unix)]
    fn parts(self) -> (Fd, Link) {
        (std::os::fd::IntoRawFd::into_raw_fd(self.stream), self.link)
    }

    #[cfg(windows)]
    fn parts(self) -> (Fd, Link) {
        (
            std::os::windows::io::IntoRawSocket::into_raw_socket(self.stream),
            self.link,
        )
    }
}

impl<'py> IntoPyObject<'py> for Open {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        self.parts().into_pyobject(py)
    }
}
