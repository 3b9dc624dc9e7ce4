//! Records of decisions.

use std::sync::Arc;

use pinfold::Denial;
use pinfold_addr::Reason;
use pyo3::prelude::*;

use crate::errors;

/// The record of one hop. Python reads it as JSON, once, when somebody looks.
#[pyclass(frozen, module = "pinfold._native")]
#[derive(Clone)]
pub(crate) struct Decision(Arc<pinfold::Decision>);

impl Decision {
    pub(crate) fn new(decision: Arc<pinfold::Decision>) -> Self {
        Self(decision)
    }

    fn denial(&self) -> Option<&Denial> {
        self.0.outcome.denial()
    }
}

#[pymethods]
impl Decision {
    /// Unique within the process.
    #[getter]
    fn id(&self) -> u64 {
        self.0.id
    }

    /// `allow`, `deny` or `failed`.
    #[getter]
    fn verdict(&self) -> &'static str {
        match &self.0.outcome {
            pinfold::Outcome::Allow { .. } => "allow",
            pinfold::Outcome::Deny(_) => "deny",
            _ => "failed",
        }
    }

    /// The reason code; none when it was allowed.
    #[getter]
    fn code(&self) -> Option<&str> {
        self.denial().map(Denial::code)
    }

    /// What to do about it.
    #[getter]
    fn hint(&self) -> Option<&'static str> {
        self.denial().and_then(Denial::hint)
    }

    /// The reason code of what would have been denied, where a policy is only tried out.
    #[getter]
    fn would_deny(&self) -> Option<&str> {
        self.0.would_deny.as_ref().map(Denial::code)
    }

    /// The whole record. For the operator: it may name internal addresses.
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(&*self.0).map_err(errors::argument)
    }
}

/// The registry of reason codes: code, stage, summary, hint.
#[pyfunction]
pub(crate) fn codes() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let row = |reason: &Reason| {
        let reason = *reason;
        (
            reason.code(),
            reason.stage().as_str(),
            reason.summary(),
            reason.hint(),
        )
    };
    Reason::ALL.iter().map(row).collect()
}
