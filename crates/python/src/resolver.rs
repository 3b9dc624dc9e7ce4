//! Answers that a program writes down and may change: for tests, and for names that are known.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pinfold::resolve::{Answers, Resolve, ResolveError, Resolving};
use pinfold_addr::{Domain, Reason};
use pyo3::prelude::*;

use crate::{ending, errors, forking::ANSWERS};

/// How long an answer may be kept. A pin has a lifetime of its own.
const TTL: Duration = Duration::from_secs(60);

type Names = HashMap<Domain, Result<Answers, ResolveError>>;

/// Fixed answers. Names that are not among them do not exist.
#[pyclass(frozen, from_py_object, module = "pinfold")]
#[derive(Clone, Default)]
pub(crate) struct FixedAnswers {
    names: Arc<Mutex<Names>>,
}

#[pymethods]
impl FixedAnswers {
    /// Names and their addresses.
    #[new]
    #[pyo3(signature = (answers = None))]
    fn new(py: Python<'_>, answers: Option<HashMap<String, Addresses>>) -> PyResult<Self> {
        let made = Self::default();
        for (name, addresses) in answers.unwrap_or_default() {
            made.__setitem__(py, &name, addresses)?;
        }
        Ok(made)
    }

    /// Answers `name` with these addresses, through these aliases; replaces what was there. Without addresses, the name
    /// exists and has none.
    #[pyo3(signature = (name, addresses, aliases = Vec::new()))]
    fn set(
        &self,
        py: Python<'_>,
        name: &str,
        addresses: Addresses,
        aliases: Vec<String>,
    ) -> PyResult<()> {
        let name = Domain::parse(name).map_err(errors::argument)?;
        let answers = answers(&addresses.list(), &aliases)?;
        self.with(py, |names| drop(names.insert(name, answers)));
        Ok(())
    }

    /// Forgets a name.
    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let name = Domain::parse(name).map_err(errors::argument)?;
        self.with(py, |names| drop(names.remove(&name)));
        Ok(())
    }

    /// Forgets all names.
    fn clear(&self, py: Python<'_>) {
        self.with(py, HashMap::clear);
    }

    fn __setitem__(&self, py: Python<'_>, name: &str, addresses: Addresses) -> PyResult<()> {
        self.set(py, name, addresses, Vec::new())
    }

    fn __delitem__(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.remove(py, name)
    }

    fn __contains__(&self, py: Python<'_>, name: &str) -> bool {
        let name = Domain::parse(name);
        name.is_ok_and(|name| self.with(py, |names| names.contains_key(&name)))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |names| names.len())
    }
}

/// Addresses, or one.
#[derive(FromPyObject)]
enum Addresses {
    One(String),
    Many(Vec<String>),
}

impl Addresses {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(address) => vec![address],
            Self::Many(addresses) => addresses,
        }
    }
}

impl FixedAnswers {
    fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Names) -> R + Send) -> R {
        ending::detach(py, || self.look(work))
    }

    /// Without the interpreter lock.
    fn look<R>(&self, work: impl FnOnce(&mut Names) -> R) -> R {
        let _still = ANSWERS.pass();
        work(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, name: &Domain) -> Result<Answers, ResolveError> {
        let found = self.look(|names| names.get(name).cloned());
        found.unwrap_or_else(|| {
            let detail = format!("`{}` is not among the fixed names", name.as_str());
            Err(failed(Reason::ResolveNoAnswer, detail))
        })
    }
}

/// What a lookup gives. An address with a zone refuses the whole answer, as from any resolver.
fn answers(addresses: &[String], aliases: &[String]) -> PyResult<Result<Answers, ResolveError>> {
    let chain: Result<_, _> = aliases.iter().map(|alias| Domain::parse(alias)).collect();
    let chain = chain.map_err(errors::argument)?;
    let mut read = Vec::new();
    for text in addresses {
        if let Some((plain, _zone)) = text.split_once('%') {
            plain
                .parse::<std::net::IpAddr>()
                .map_err(|_| no_address(text))?;
            let detail = format!("{text} carries a zone");
            return Ok(Err(failed(Reason::AddressScoped, detail)));
        }
        read.push(text.parse().map_err(|_| no_address(text))?);
    }
    if read.is_empty() {
        let detail = String::from("the name is fixed to no address");
        return Ok(Err(failed(Reason::ResolveNoAnswer, detail)));
    }
    Ok(Ok(Answers {
        addresses: read,
        chain,
        ttl: TTL,
    }))
}

fn failed(reason: Reason, detail: String) -> ResolveError {
    ResolveError { reason, detail }
}

fn no_address(text: &str) -> PyErr {
    errors::argument(format!("`{text}` is not an IP address"))
}

impl Resolve for FixedAnswers {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        Box::pin(std::future::ready(self.answer(name)))
    }
}

impl fmt::Debug for FixedAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedAnswers").finish_non_exhaustive()
    }
}
