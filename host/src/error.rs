//! Errors, sorted by who is at fault.

use crate::{Decision, Denial};

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target is refused. The denial is data; the whole decision stands beside it.
    #[error("{denial}")]
    Denied {
        /// What was refused and why.
        denial: Denial,
        /// The record of it, as the observer got it; none when the URL did not even parse.
        decision: Option<std::sync::Arc<Decision>>,
    },
    /// The network failed: no answer from DNS, no judged address accepted a connection.
    #[error("{denial}")]
    Network {
        /// Stage, reason, detail.
        denial: Denial,
        /// The record of it.
        decision: Option<std::sync::Arc<Decision>>,
    },
}

impl Error {
    /// Stage, reason and detail.
    pub fn denial(&self) -> &Denial {
        match self {
            Self::Denied { denial, .. } | Self::Network { denial, .. } => denial,
        }
    }

    /// The decision, when it got far enough for one.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Denied { decision, .. } | Self::Network { decision, .. } => decision.as_deref(),
        }
    }

    /// Whether policy, floor or parser refused; false when the network failed.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Whether a deadline passed.
    pub fn is_timeout(&self) -> bool {
        use pinfold_addr::Reason;
        [Reason::ResolveTimeout, Reason::ConnectTimeout, Reason::DeadlineExceeded, Reason::PolicyTimeout]
            .iter()
            .any(|reason| self.denial().code() == reason.code())
    }
}
