//! Errors, sorted by who is at fault.

use std::sync::Arc;

use pinfold_addr::Reason;

use crate::{Decision, Denial};

/// Why there is no connection.
///
/// Its text holds stage and code only: it is safe to show to whoever wrote the URL. What exactly was
/// refused, addresses included, is in [`denial`](Self::denial) and [`decision`](Self::decision), for the
/// operator.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target is refused. The denial is data; the whole decision stands beside it.
    #[error("{denial}")]
    Denied {
        /// What was refused and why.
        denial: Denial,
        /// The record of it, as the observer got it; none when the URL did not even parse.
        decision: Option<Arc<Decision>>,
    },
    /// The network failed: no answer from DNS, no judged address accepted a connection.
    #[error("failed at stage `{}`: {}", denial.stage(), denial.code())]
    Network {
        /// Stage, reason, detail.
        denial: Denial,
        /// The record of it.
        decision: Option<Arc<Decision>>,
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
        [
            Reason::ResolveTimeout,
            Reason::ConnectTimeout,
            Reason::DeadlineExceeded,
            Reason::PolicyTimeout,
        ]
        .iter()
        .any(|reason| self.denial().code() == reason.code())
    }
}

/// A hop that ended without a connection: what [`Error`] is made from. Unlike it, it always has its
/// record.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) denial: Denial,
    pub(crate) decision: Arc<Decision>,
    pub(crate) network: bool,
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Self {
        let Ended {
            denial,
            decision,
            network,
        } = ended;
        match network {
            true => Self::Network {
                denial,
                decision: Some(decision),
            },
            false => Self::Denied {
                denial,
                decision: Some(decision),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_holds_no_internal_address() {
        let denial = Denial::new(Reason::AddressFloor, "10.1.2.3 is internal");
        let error = Error::Denied {
            denial,
            decision: None,
        };
        assert_eq!(
            error.to_string(),
            "refused at stage `address`: address-floor"
        );
        assert!(error.is_denied() && !error.is_timeout());
    }

    #[test]
    fn timeouts_are_told_from_other_failures() {
        let denial = Denial::new(Reason::ConnectTimeout, "");
        let error = Error::Network {
            denial,
            decision: None,
        };
        assert!(error.is_timeout() && !error.is_denied());
        assert_eq!(
            error.to_string(),
            "failed at stage `connect`: connect-timeout"
        );
    }
}
