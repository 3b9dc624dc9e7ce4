//! Exceptions. They are defined in Python (`pinfold/errors.py`): here they are only made.

use pinfold::{Denial, Error, policy::LoadError};
use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyDict};

use crate::decision::Decision;

/// Why work in the background failed. It becomes an exception where the interpreter is at hand.
pub(crate) enum Failure {
    /// A refusal, or a failure of the network.
    Guard(Error),
    /// What the operating system says.
    System(std::io::Error),
    /// A fault of the host. What it was is on standard error.
    Panic,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Guard(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Guard(error) => failed(error),
            Failure::System(error) => error.into(),
            Failure::Panic => PyRuntimeError::new_err("a fault in the guard: it panicked"),
        }
    }
}

/// A refusal, or a failure of the network.
pub(crate) fn failed(error: Error) -> PyErr {
    let (kind, denial, decision) = match error {
        Error::Denied { denial, decision } => ("denied", denial, decision),
        Error::Network { denial, decision } => ("network", denial, decision),
        other => ("denied", other.denial().clone(), None),
    };
    made(|py| {
        let decision = decision.map(Decision::new);
        call(py, "failure", (kind, pieces(py, &denial)?, decision))
    })
}

/// A refusal of something that has no record of its own.
pub(crate) fn denied(denial: &Denial) -> PyErr {
    made(|py| {
        call(
            py,
            "failure",
            ("denied", pieces(py, denial)?, None::<Decision>),
        )
    })
}

/// A policy that was not loaded, with all that is wrong with its settings.
pub(crate) fn not_loaded(error: &LoadError) -> PyErr {
    let inner = match error {
        LoadError::InLayer { error, .. } => error,
        error => error,
    };
    let problems: Vec<(&str, &str)> = match inner {
        LoadError::Settings(problems) => problems
            .iter()
            .map(|problem| (problem.path.as_str(), problem.message.as_str()))
            .collect(),
        _ => Vec::new(),
    };
    made(|py| {
        call(
            py,
            "not_loaded",
            (error.to_string(), error.hint(), problems),
        )
    })
}

/// What was made before a fork is used after it.
pub(crate) fn forked() -> PyErr {
    made(|py| call(py, "forked", ()))
}

/// An option of a guard that was not taken.
pub(crate) fn no_option(name: &str, why: &str, hint: &str) -> PyErr {
    made(|py| call(py, "no_option", (name, why, hint)))
}

/// An argument that is none.
pub(crate) fn argument(error: impl std::fmt::Display) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(error.to_string())
}

pub(crate) fn pieces<'py>(py: Python<'py>, denial: &Denial) -> PyResult<Bound<'py, PyDict>> {
    let pieces = PyDict::new(py);
    pieces.set_item("stage", denial.stage().as_str())?;
    pieces.set_item("code", denial.code())?;
    pieces.set_item("detail", denial.detail())?;
    pieces.set_item("hint", denial.hint())?;
    Ok(pieces)
}

fn made(make: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>>) -> PyErr {
    Python::attach(|py| match make(py) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    })
}

fn call<'py>(
    py: Python<'py>,
    maker: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("pinfold._failures")?
        .call_method1(maker, arguments)
}
