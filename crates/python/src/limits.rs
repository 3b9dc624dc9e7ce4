//! Bounds of a guard, by the names of the host's.

use std::time::Duration;

use pinfold::Limits;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyDict,
};

/// Reads a table of limits: times in seconds, everything else whole numbers. What it does not name keeps its default.
pub(crate) fn read(table: &Bound<'_, PyDict>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in table.iter() {
        let name: String = name.extract()?;
        set(&mut limits, &name, &value).map_err(|error| named(value.py(), &name, &error))?;
    }
    Ok(limits)
}

fn set(limits: &mut Limits, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "decision" => limits.decision = seconds(value)?,
        "policy_memory" => limits.policy_memory = value.extract()?,
        "policy_output" => limits.policy_output = value.extract()?,
        "policy_instances" => limits.policy_instances = value.extract()?,
        "policy_spares" => limits.policy_spares = value.extract()?,
        "component_bytes" => limits.component_bytes = value.extract()?,
        "settings_bytes" => limits.settings_bytes = value.extract()?,
        "resolve" => limits.resolve = seconds(value)?,
        "answers" => limits.answers = value.extract()?,
        "chain" => limits.chain = value.extract()?,
        "connect" => limits.connect = seconds(value)?,
        "attempt" => limits.attempt = seconds(value)?,
        "attempts" => limits.attempts = value.extract()?,
        "pin" => limits.pin = seconds(value)?,
        _ => return Err(PyValueError::new_err("is no limit")),
    }
    Ok(())
}

fn named(py: Python<'_>, name: &str, error: &PyErr) -> PyErr {
    let message = format!("`{name}` {}", error.value(py));
    match error.is_instance_of::<PyTypeError>(py) {
        true => PyTypeError::new_err(message),
        false => PyValueError::new_err(message),
    }
}

fn seconds(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    duration(value.extract()?)
}

/// A positive, finite number of seconds.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    let read = Duration::try_from_secs_f64(seconds).ok();
    let read = read.filter(|time| !time.is_zero());
    read.ok_or_else(|| {
        PyValueError::new_err(format!("`{seconds}` is no positive number of seconds"))
    })
}
