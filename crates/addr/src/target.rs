//! `Target`: a URL that was parsed once, and whose two readings agree.

use alloc::string::String;
use core::{fmt, net::IpAddr};

use crate::Reason;

/// The schemes for which WHATWG defines a host and a default port.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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

/// A canonical domain name: ASCII, lower case, no trailing dot, every label well-formed.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Domain(String);

impl Domain {
    /// Canonicalises a name that did not come from a URL (an alias of a DNS answer, a fixed answer).
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        let _ = name;
        todo!()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A canonical host.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a host is a name or an address; nothing else can be dialled")]
pub enum Host {
    /// A name.
    Domain(Domain),
    /// An address literal.
    Ip(IpAddr),
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => f.pad(name.as_str()),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Unusual spellings that the canonical form no longer shows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Spelling {
    /// The authority held userinfo; it was dropped.
    pub userinfo: bool,
    /// An address literal was not written canonically.
    pub non_canonical_literal: bool,
}

/// Why a URL was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// What exactly, for the operator.
    pub detail: String,
}

/// A URL that was parsed once. Its existence is the proof that two readings of it agree.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
    path: String,
    query: Option<String>,
    spelling: Spelling,
}

impl Target {
    /// The longest URL that is read, in octets.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Parses an absolute URL.
    pub fn parse(url: &str) -> Result<Self, Refusal> {
        let _ = url;
        todo!()
    }

    /// A target for a bare connection (CONNECT, SOCKS): `host:port`, path `/`.
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, Refusal> {
        let _ = (scheme, authority);
        todo!()
    }

    /// Resolves a redirect's `Location` against this target and parses the result as strictly.
    pub fn join(&self, location: &str) -> Result<Self, Refusal> {
        let _ = location;
        todo!()
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, begins with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Unusual spellings.
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// `host` or `host:port`, the port left out when it is the scheme's default: for `Host` headers.
    pub fn authority(&self) -> String {
        todo!()
    }

    /// Path and query, for a request line.
    pub fn path_and_query(&self) -> String {
        todo!()
    }

    /// Whether both have the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for Target {
    /// The canonical URL, without credentials and fragment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.path_and_query())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl core::error::Error for Refusal {}
