//! Native rules that no policy can widen; the operator's grants.

use std::{fmt, str::FromStr};

use ipnet::IpNet;

/// An operator's exception to the floor: a prefix, and a port or all ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    net: IpNet,
    port: Option<u16>,
}

/// Text that is no grant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a grant: {problem}")]
pub struct InvalidGrant {
    text: String,
    problem: &'static str,
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    /// `127.0.0.2`, `127.0.0.0/8:8080`, `[::1]:80`, `[fd00::/8]:443`, `fd00::/8`.
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        Err(InvalidGrant { text: text.into(), problem: "not implemented" })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.net, self.port)
    }
}
