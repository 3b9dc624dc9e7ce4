//! Where a request goes, read once and strictly.

use std::net::IpAddr;

use pinfold::Denial;
use pinfold_addr::{Reason, Scheme};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyString};

use crate::{asking::Asking, errors};

/// A URL as the guard understands it.
#[pyclass(frozen, eq, hash, module = "pinfold")]
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Target(pinfold_addr::Target);

impl Target {
    pub(crate) fn new(target: pinfold_addr::Target) -> Self {
        Self(target)
    }

    fn at(scheme: &str, host: &str, port: u16) -> Result<Self, Denial> {
        let scheme: Scheme = scheme.parse()?;
        unscoped(host)?;
        Ok(Self(pinfold_addr::Target::from_authority(
            scheme,
            &authority(host, port),
        )?))
    }

    /// Whether scheme, host and port are the same.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        self.0.same_origin(&other.0)
    }
}

#[pymethods]
impl Target {
    /// Reads a URL.
    #[staticmethod]
    fn parse(url: Text<'_>) -> PyResult<Self> {
        read(pinfold_addr::Target::parse(url.as_str()?))
    }

    /// A scheme, a host and a port.
    #[staticmethod]
    fn of(scheme: Text<'_>, host: Text<'_>, port: u16) -> PyResult<Self> {
        Self::at(scheme.as_str()?, host.as_str()?, port).map_err(|denial| errors::denied(&denial))
    }

    /// Reads the `Location` of a redirect from here.
    fn join(&self, location: Text<'_>) -> PyResult<Self> {
        read(self.0.join(location.as_str()?))
    }

    #[getter]
    fn scheme(&self) -> &'static str {
        self.0.scheme().as_str()
    }

    /// Without brackets: as `socket` and `ssl` want it.
    #[getter]
    fn host(&self) -> String {
        match self.0.host().ip() {
            Some(address) => address.to_string(),
            None => self.0.host().to_string(),
        }
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    #[getter]
    fn path(&self) -> &str {
        self.0.path()
    }

    #[getter]
    fn query(&self) -> Option<&str> {
        self.0.query()
    }

    #[getter]
    fn is_literal(&self) -> bool {
        self.0.host().ip().is_some()
    }

    #[getter]
    fn has_userinfo(&self) -> bool {
        self.0.spelling().userinfo
    }

    #[getter]
    fn has_unusual_literal(&self) -> bool {
        self.0.spelling().non_canonical_literal
    }

    /// `scheme://host:port`
    #[getter]
    fn origin(&self) -> String {
        let (scheme, host, port) = (self.0.scheme(), self.0.host(), self.0.port());
        format!("{scheme}://{host}:{port}")
    }

    /// Whether scheme, host and port are the same.
    fn same_origin(&self, other: &Self) -> bool {
        self.is_at(other)
    }

    /// Whether a library that speaks of this scheme, host and port means the same place. Whatever cannot be read as
    /// strictly means another one.
    fn goes_to(&self, scheme: Text<'_>, host: Text<'_>, port: i64) -> bool {
        let (Ok(scheme), Ok(host), Ok(port)) =
            (scheme.as_str(), host.as_str(), u16::try_from(port))
        else {
            return false;
        };
        Self::at(scheme, host, port).is_ok_and(|other| self.is_at(&other))
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("Target({:?})", self.0.to_string())
    }
}

/// A target, or the text of one.
pub(crate) enum Asked<'py> {
    Read(Bound<'py, Target>),
    Text(Text<'py>),
}

impl<'py> FromPyObject<'_, 'py> for Asked<'py> {
    type Error = PyErr;

    fn extract(asked: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match asked.cast::<Target>() {
            Ok(target) => Ok(Self::Read(target.to_owned())),
            Err(_) => asked.extract().map(Self::Text),
        }
    }
}

impl Asked<'_> {
    /// As a URL of its own.
    pub(crate) fn target(self) -> PyResult<pinfold_addr::Target> {
        match self {
            Self::Read(target) => Ok(target.get().0.clone()),
            Self::Text(url) => Target::parse(url).map(|target| target.0),
        }
    }

    /// As the `Location` of a redirect of the current hop.
    pub(crate) fn location(self, asking: &Asking) -> PyResult<pinfold_addr::Target> {
        match self {
            Self::Read(target) => Ok(target.get().0.clone()),
            Self::Text(text) => asking
                .location(text.as_str()?)
                .map_err(|denial| errors::denied(&denial)),
        }
    }
}

/// Text that strangers wrote. Python's may hold what is no Unicode, which no URL does.
pub(crate) struct Text<'py>(Bound<'py, PyString>);

impl Text<'_> {
    /// # Errors
    ///
    /// A refusal, since it is about the URL and not about the call.
    pub(crate) fn as_str(&self) -> PyResult<&str> {
        let not_unicode = |_| Denial::new(Reason::UrlInvalid, "half of a surrogate pair");
        self.0
            .to_str()
            .map_err(|error| errors::denied(&not_unicode(error)))
    }
}

impl<'py> FromPyObject<'_, 'py> for Text<'py> {
    type Error = PyErr;

    fn extract(text: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let other = |_| {
            let kind = text.get_type();
            PyTypeError::new_err(format!("a URL is text (`str`), and not `{kind}`"))
        };
        let text = text.cast::<PyString>().map_err(other)?;
        Ok(Self(text.to_owned()))
    }
}

fn read(read: Result<pinfold_addr::Target, pinfold_addr::Refusal>) -> PyResult<Target> {
    read.map(Target)
        .map_err(|refusal| errors::denied(&Denial::from(refusal)))
}

/// An address with a zone is one, and no URL can be written for it: it is never connected to.
fn unscoped(host: &str) -> Result<(), Denial> {
    let address = host.trim_start_matches('[').split_once('%');
    match address.map(|(address, _zone)| address.parse::<IpAddr>()) {
        Some(Ok(_)) => {
            let detail = format!("`{host}` carries a zone");
            Err(Denial::new(Reason::AddressScoped, detail))
        }
        _ => Ok(()),
    }
}

/// `host:port`; an IPv6 literal gets its brackets unless it has them.
fn authority(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
