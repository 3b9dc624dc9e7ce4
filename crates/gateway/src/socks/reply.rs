//! What a client of SOCKS5 is answered. No I/O.

use crate::refusal::{Kind, Refusal};

use super::parse::Malformed;

/// The methods of a greeting (RFC 1928, section 3).
pub(super) const NO_PROOF: [u8; 2] = [5, 0];
pub(super) const PASSWORD: [u8; 2] = [5, 2];
pub(super) const NO_METHOD: [u8; 2] = [5, 0xff];

/// The end of user name and password (RFC 1929, section 2).
pub(super) const WELCOME: [u8; 2] = [1, 0];
pub(super) const WRONG: [u8; 2] = [1, 1];

/// What becomes of a request (RFC 1928, section 6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    Succeeded = 0,
    Failed = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    Refused = 5,
    Expired = 6,
    CommandUnsupported = 7,
    AddressUnsupported = 8,
}

impl Reply {
    /// The reply that says best what a refusal is. Code and hint have no place in it: they are in the log.
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal.kind {
            Kind::Denied | Kind::Unauthenticated => Self::NotAllowed,
            Kind::Unresolved => Self::HostUnreachable,
            Kind::Unreachable => Self::Refused,
            Kind::TimedOut => Self::Expired,
            Kind::Malformed
            | Kind::Oversized
            | Kind::Slow
            | Kind::Limited
            | Kind::Overloaded
            | Kind::PolicyFault => Self::Failed,
        }
    }

    /// As it is sent. The address that we are bound to is nobody's business: 0.0.0.0, port 0.
    pub(super) fn bytes(self) -> [u8; 10] {
        [5, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// What is said to a greeting, or a password, that is none.
pub(super) fn to_malformed(malformed: Malformed) -> &'static [u8] {
    match malformed {
        // SOCKS4 has a refusal of its own.
        Malformed::Socks4 => &[0, 91, 0, 0, 0, 0, 0, 0],
        Malformed::NoMethods => &NO_METHOD,
        _ => b"",
    }
}

/// What is said to a request that is none.
pub(super) fn to_malformed_request(malformed: Malformed) -> Reply {
    match malformed {
        Malformed::AddressKind => Reply::AddressUnsupported,
        _ => Reply::Failed,
    }
}
