//! Errors, sorted by who is at fault.

use std::{error::Error as StdError, io};

use pinfold::{Decision, Denial};
use pinfold_addr::Reason;

/// Why there is no response, or no more of it.
///
/// [`Display`](std::fmt::Display) shows stage and code only and is safe to show to whoever sent the
/// URL. The [`Denial`] holds the detail, for the operator alone: it may name internal addresses.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for what is never sent: a forbidden header, a method that opens a tunnel, a
    /// body that failed. Never caused by a URL or by a server.
    #[error("invalid request: {0}")]
    Caller(String),
    /// The guard refused a hop. Nothing was sent to it.
    #[error(transparent)]
    Denied(pinfold::Error),
    /// The exchange failed after the guard allowed it: a budget, a deadline, a broken server.
    #[error("{0}")]
    Exchange(Denial),
    /// The network failed: no answer from DNS, no address that accepts connections, no TLS.
    #[error(transparent)]
    Network(pinfold::Error),
}

impl Error {
    /// Stage, reason and detail; none when the caller is at fault.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Denied(error) | Self::Network(error) => Some(error.denial()),
            Self::Exchange(denial) => Some(denial),
            Self::Caller(_) => None,
        }
    }

    /// The guard's record of the hop that ended it, when the guard ended it.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Denied(error) | Self::Network(error) => error.decision(),
            Self::Exchange(_) | Self::Caller(_) => None,
        }
    }

    /// Whether policy, floor or parser refused, for the first URL or for a redirect.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }

    /// Whether a deadline passed, at whatever step.
    pub fn is_timeout(&self) -> bool {
        const TIMEOUTS: [Reason; 4] = [
            Reason::ConnectTimeout,
            Reason::DeadlineExceeded,
            Reason::PolicyTimeout,
            Reason::ResolveTimeout,
        ];
        self.denial()
            .and_then(Denial::reason)
            .is_some_and(|reason| TIMEOUTS.contains(&reason))
    }

    /// What to do about it, one sentence for a person.
    pub fn hint(&self) -> Option<&'static str> {
        self.denial().and_then(Denial::hint)
    }

    /// A refusal by a rule that stands before the guard: the parser, `https_only`.
    pub(crate) fn denied(denial: Denial) -> Self {
        Self::Denied(pinfold::Error::Denied {
            denial,
            decision: None,
        })
    }

    /// A failure of the exchange.
    pub(crate) fn exchange(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Exchange(Denial::new(reason, detail))
    }

    /// A failure below HTTP.
    pub(crate) fn network(reason: Reason, detail: impl Into<String>) -> Self {
        let denial = Denial::new(reason, detail);
        Self::Network(pinfold::Error::Network {
            denial,
            decision: None,
        })
    }

    /// What hyper says of an exchange, by who is at fault.
    pub(crate) fn from_hyper(error: &hyper::Error) -> Self {
        if error.is_user() {
            return Self::Caller(with_sources(error));
        }
        Self::from_body(error)
    }

    /// What hyper says of a response body: its framing is wrong, or its connection broke.
    pub(crate) fn from_body(error: &hyper::Error) -> Self {
        let io = error.source().and_then(<dyn StdError>::downcast_ref);
        // What our own stream said, hyper only hands on.
        if let Some(own) = io.and_then(own) {
            return own.clone();
        }
        let reason = if error.is_parse() && error.to_string() == HEAD_TOO_LARGE {
            Reason::ResponseHeadTooLarge
        } else if error.is_parse() || io.is_some_and(is_bad_framing) {
            Reason::ResponseInvalid
        } else {
            Reason::ConnectionLost
        };
        Self::exchange(reason, with_sources(error))
    }
}

/// What hyper says of a head beyond the limits. It offers a predicate to servers alone; a test holds
/// the words.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// The error of this crate inside one of I/O.
fn own(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Whether the bytes that came are wrong: bad chunks, bad TLS records. Bytes that are missing are not.
fn is_bad_framing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

impl From<pinfold::Error> for Error {
    fn from(error: pinfold::Error) -> Self {
        if error.is_denied() {
            Self::Denied(error)
        } else {
            Self::Network(error)
        }
    }
}

/// An error with its causes, each after a colon: hyper's own text leaves the cause out.
fn with_sources(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
