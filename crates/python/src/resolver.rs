//! Answers that a program writes down and may change: for tests, and for names that are known.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use pinfold::resolve::{Answers, Resolve, ResolveError, Resolving};
use pinfold_addr::{Domain, Reason};
use pyo3::prelude::*;

use crate::errors;

/// How long an answer may be kept. A pin has a lifetime of its own.
const TTL: Duration = Duration::from_secs(60);

type Names = RwLock<HashMap<Domain, Result<Answers, ResolveError>>>;

/// Fixed answers. Names that are not among them do not exist.
#[pyclass(frozen, module = "pinfold._native")]
#[derive(Clone, Default)]
pub(crate) struct FixedAnswers {
    names: Arc<Names>,
}

#[pymethods]
impl FixedAnswers {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Answers `name` with these addresses, through these aliases; replaces what was there.
    #[pyo3(signature = (name, addresses, aliases = Vec::new()))]
    fn set(&self, name: &str, addresses: Vec<String>, aliases: Vec<String>) -> PyResult<()> {
        let name = Domain::parse(name).map_err(errors::argument)?;
        let chain: Result<Vec<Domain>, _> =
            aliases.iter().map(|alias| Domain::parse(alias)).collect();
        let chain = chain.map_err(errors::argument)?;
        let answers = answers(&addresses, chain)?;
        self.write().insert(name, answers);
        Ok(())
    }

    /// Forgets a name.
    fn remove(&self, name: &str) -> PyResult<()> {
        let name = Domain::parse(name).map_err(errors::argument)?;
        self.write().remove(&name);
        Ok(())
    }

    /// Forgets all names.
    fn clear(&self) {
        self.write().clear();
    }
}

impl FixedAnswers {
    fn write(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, HashMap<Domain, Result<Answers, ResolveError>>> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, name: &Domain) -> Result<Answers, ResolveError> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(name).cloned().unwrap_or_else(|| {
            let detail = format!("`{}` is not among the fixed names", name.as_str());
            Err(failed(Reason::ResolveNoAnswer, detail))
        })
    }
}

/// What a lookup gives. An address with a zone refuses the whole answer, as from any resolver.
fn answers(addresses: &[String], chain: Vec<Domain>) -> PyResult<Result<Answers, ResolveError>> {
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
