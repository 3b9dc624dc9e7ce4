//! Refusals as data, and the two proofs: `Admitted` and `Pinned`. Only the guard makes them.

use std::{borrow::Cow, fmt, net::SocketAddr};

use pinfold_addr::{Reason, Refusal, Stage, Target};

use crate::Terms;

/// A refusal, for people and for programs.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Denial {
    stage: Stage,
    code: Cow<'static, str>,
    detail: String,
    #[serde(skip)]
    reason: Option<Reason>,
}

impl Denial {
    /// A refusal with a registered reason.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { stage: reason.stage(), code: Cow::Borrowed(reason.code()), detail: detail.into(), reason: Some(reason) }
    }

    /// A refusal in a policy's own words.
    pub(crate) fn from_policy(stage: Stage, code: String, detail: String) -> Self {
        let reason = Reason::from_code(&code);
        Self { stage: reason.map_or(stage, Reason::stage), code: Cow::Owned(code), detail, reason }
    }

    /// The same refusal at another stage (an address refused among the answers of a name).
    pub(crate) fn at(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// Where.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The registered reason, when the code is one; a policy may use codes of its own.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// What exactly. For the operator: may name internal addresses; never shown to a client.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.reason.map(Reason::hint)
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.reason, refusal.detail)
    }
}

impl fmt::Display for Denial {
    /// Stage and code only: safe to show to a client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused at stage `{}`: {}", self.stage, self.code)
    }
}

/// Proof that floor and policy admitted a target to resolution. Made by [`Session::admit`](crate::Session::admit) only.
#[derive(Debug)]
pub struct Admitted {
    // Filled by the guard: request, the instance that judged stage one, the record under way.
    pub(crate) terms: Terms,
}

/// Proof that every address in it was judged. Made by the guard only; what a socket is made from.
///
/// A pin is good for one hop. Dropped without being dialled, it still leaves its `Decision` record.
#[derive(Debug)]
pub struct Pinned {
    pub(crate) target: Target,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) terms: Terms,
    pub(crate) generation: u64,
}

impl Pinned {
    /// Where the request goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The judged addresses with port, never empty, in the order they are tried.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the exchange must obey.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Generation of the policy that judged.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
