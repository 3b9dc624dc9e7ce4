//! Why a client gets no connection: what it is told, in HTTP and in SOCKS. Never an address.

use std::{borrow::Cow, time::Duration};

use pinfold::{Denial, Error};
use pinfold_addr::{Reason, Stage};

/// A refusal or a failure, as a client may know it: kind, stage, code, hint.
///
/// It is made from an error of the guard by dropping whatever names addresses. A code of a policy is passed on, its
/// detail is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    /// `parse`, `name`, `resolve`, ...; of the gateway's own: `request`, `identity`, `limit`, `tunnel`.
    pub(crate) stage: &'static str,
    /// Stable, kebab-case.
    pub(crate) code: Cow<'static, str>,
    pub(crate) hint: Option<&'static str>,
    /// When to come back, for what is limited.
    pub(crate) retry_after: Option<Duration>,
}

/// What is to blame; decides the status of HTTP (in brackets) and the reply of SOCKS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The request cannot be understood, or is of a kind that is not served [400].
    Malformed,
    /// Credentials are missing or wrong [407].
    Unauthenticated,
    /// Policy, floor, or identity refuse [403].
    Denied,
    /// The subject is over its limit [429].
    Limited,
    /// The gateway is over its limit, or draining [503].
    Overloaded,
    /// The policy itself failed [503].
    PolicyFault,
    /// The name has no usable answer [502].
    Unresolved,
    /// Nobody accepts the connection, or it broke [502].
    Unreachable,
    /// A deadline passed: lookup, connection, or response [504].
    TimedOut,
}

impl Refusal {
    /// One of the gateway's own.
    pub(crate) fn new(kind: Kind, stage: &'static str, code: &'static str) -> Self {
        Self {
            kind,
            stage,
            code: Cow::Borrowed(code),
            hint: None,
            retry_after: None,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    pub(crate) fn from_denial(denial: &Denial, denied: bool, timeout: bool) -> Self {
        let kind = match (denial.stage(), denied) {
            (Stage::Policy, _) => Kind::PolicyFault,
            _ if timeout => Kind::TimedOut,
            (_, true) => Kind::Denied,
            (Stage::Resolve, false) => Kind::Unresolved,
            _ => Kind::Unreachable,
        };
        Self {
            kind,
            stage: denial.stage().as_str(),
            code: Cow::Owned(denial.code().to_owned()),
            hint: denial.reason().map(Reason::hint),
            retry_after: None,
        }
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Self::from_denial(error.denial(), error.is_denied(), error.is_timeout())
    }
}
