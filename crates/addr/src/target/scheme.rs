//! The schemes a target may have.

use core::{fmt, str::FromStr};

use super::Refusal;
use crate::Reason;

/// The schemes for which WHATWG defines a host and a default port, and a socket can be opened.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Scheme {
    /// `ftp`, port 21.
    Ftp,
    /// `http`, port 80.
    Http,
    /// `https`, port 443.
    Https,
    /// `ws`, port 80.
    Ws,
    /// `wss`, port 443.
    Wss,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: &'static [Self] = &[Self::Ftp, Self::Http, Self::Https, Self::Ws, Self::Wss];

    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The port that is meant when none is written.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Ftp => 21,
            Self::Http | Self::Ws => 80,
            Self::Https | Self::Wss => 443,
        }
    }

    /// Whether TLS is spoken.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }
}

impl FromStr for Scheme {
    type Err = Refusal;

    /// Any case; anything else is `scheme-unsupported`.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::ALL
            .iter()
            .copied()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| Refusal::quoting(Reason::SchemeUnsupported, "scheme", text))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
