//! Errors, sorted by who is at fault.

use std::{error::Error as StdError, io};

use pinfold::{Decision, Denial};
use pinfold_addr::Reason;

use crate::FailedRedirect;

/// Why there is no response, or no more of it.
///
/// [`Display`](std::fmt::Display) shows stage and code only, and in which redirect it happened; it is
/// safe to show to whoever sent the URL. The [`Denial`] holds the detail, for the operator alone: it may
/// name internal addresses.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for what is never sent: a forbidden header, a method that opens a tunnel, a
    /// body that failed. Never caused by a URL or by a server.
    #[error("invalid request: {0}")]
    Caller(String),
    /// The caller did not go on with the body of its request.
    #[error("the next piece of the request did not come in time")]
    Stalled,
    /// The guard refused a hop. Nothing was sent to it.
    #[error("{place}{0}", place = prefix(.1))]
    Denied(pinfold::Error, Option<Box<FailedRedirect>>),
    /// The exchange failed after the guard allowed it: a budget, a deadline, a broken server.
    #[error("{place}{0}", place = prefix(.1))]
    Exchange(Denial, Option<Box<FailedRedirect>>),
    /// The network failed: no answer from DNS, no address that accepts connections, no TLS.
    #[error("{place}{0}", place = prefix(.1))]
    Network(pinfold::Error, Option<Box<FailedRedirect>>),
}

impl Error {
    /// Stage, reason and detail; none when the caller is at fault.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Denied(error, _) | Self::Network(error, _) => Some(error.denial()),
            Self::Exchange(denial, _) => Some(denial),
            Self::Caller(_) | Self::Stalled => None,
        }
    }

    /// The guard's record of the hop that ended it, when the guard ended it.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Denied(error, _) | Self::Network(error, _) => error.decision(),
            Self::Exchange(..) | Self::Caller(_) | Self::Stalled => None,
        }
    }

    /// The redirect it happened in; none when it was the first request that failed, or when the body of
    /// the response did.
    pub fn redirect(&self) -> Option<&FailedRedirect> {
        match self {
            Self::Denied(_, redirect)
            | Self::Exchange(_, redirect)
            | Self::Network(_, redirect) => redirect.as_deref(),
            Self::Caller(_) | Self::Stalled => None,
        }
    }

    /// Whether policy, floor or parser refused, for the first URL or for a redirect.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(..))
    }

    /// Whether a deadline passed, at whatever step.
    pub fn is_timeout(&self) -> bool {
        const TIMEOUTS: [Reason; 4] = [
            Reason::ConnectTimeout,
            Reason::DeadlineExceeded,
            Reason::PolicyTimeout,
            Reason::ResolveTimeout,
        ];
        let reason = self.denial().and_then(Denial::reason);
        matches!(self, Self::Stalled) || reason.is_some_and(|reason| TIMEOUTS.contains(&reason))
    }

    /// What to do about it, one sentence for a person.
    pub fn hint(&self) -> Option<&'static str> {
        self.denial().and_then(Denial::hint)
    }

    /// A refusal by a rule that stands before the guard: the parser, `https_only`.
    pub(crate) fn denied(denial: Denial) -> Self {
        Self::from(pinfold::Error::Denied {
            denial,
            decision: None,
        })
    }

    /// The same, said to have happened in this redirect. What is the caller's fault is so everywhere.
    pub(crate) fn in_redirect(mut self, redirect: Option<FailedRedirect>) -> Self {
        if let Self::Denied(_, place) | Self::Exchange(_, place) | Self::Network(_, place) =
            &mut self
        {
            *place = redirect.map(Box::new);
        }
        self
    }

    /// A failure of the exchange.
    pub(crate) fn exchange(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Exchange(Denial::new(reason, detail), None)
    }

    /// A failure below HTTP.
    pub(crate) fn network(reason: Reason, detail: impl Into<String>) -> Self {
        let denial = Denial::new(reason, detail);
        Self::from(pinfold::Error::Network {
            denial,
            decision: None,
        })
    }

    /// What hyper says of an exchange, by who is at fault.
    pub(crate) fn from_hyper(error: &hyper::Error) -> Self {
        if error.is_user() {
            let said = error.source().and_then(<dyn StdError>::downcast_ref);
            return match said {
                Some(Self::Stalled) => Self::Stalled,
                _ => Self::Caller(with_sources(error)),
            };
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

/// What stands before an error that happened in a redirect.
fn prefix(redirect: &Option<Box<FailedRedirect>>) -> String {
    redirect
        .as_ref()
        .map_or_else(String::new, |redirect| format!("{redirect}: "))
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
            Self::Denied(error, None)
        } else {
            Self::Network(error, None)
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
