//! Canonical hosts: a name or an address, and nothing else.

use alloc::{borrow::ToOwned, string::String};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use idna::AsciiDenyList;

use super::Refusal;
use crate::Reason;

/// A canonical domain name: ASCII, lower case, no trailing dot, every label well-formed.
///
/// Labels have 1 to 63 octets of `a-z`, `0-9`, `-` and `_` and neither begin nor end with `-`
/// (RFC 1123, 2.1, with the underscore that service names use); the name has at most 253. The last
/// label is no number, because such a name is read as an IPv4 address (WHATWG URL, "ends in a number").
///
/// ```
/// use pinfold_addr::Domain;
///
/// assert_eq!(Domain::parse("MÜNCHEN.example.")?.as_str(), "xn--mnchen-3ya.example");
/// assert!(Domain::parse("a..example").is_err());
/// assert!(Domain::parse("10.0.0.1").is_err());
/// # Ok::<(), pinfold_addr::Refusal>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Domain(String);

impl Domain {
    /// The longest name, in octets, without the root dot (RFC 1035, 2.3.4).
    pub const MAX_LEN: usize = 253;

    /// The longest label, in octets (RFC 1035, 2.3.4).
    pub const MAX_LABEL: usize = 63;

    /// The longest text that is mapped to ASCII: bounds the work on a name from outside.
    const MAX_TEXT: usize = 4 * Self::MAX_LEN;

    /// Canonicalises a name that did not come from a URL (an alias of a DNS answer, a fixed answer, a
    /// pattern). International names are mapped by UTS 46; one trailing root dot is removed.
    ///
    /// # Errors
    ///
    /// `host-invalid`, for whatever is no canonical name after that.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        if name.len() > Self::MAX_TEXT {
            return Err(Refusal::quoting(
                Reason::HostInvalid,
                "name is too long:",
                name,
            ));
        }
        let ascii = to_ascii(name.as_bytes())
            .ok_or_else(|| Refusal::quoting(Reason::HostInvalid, "not a host name:", name))?;
        Self::from_ascii(&ascii)
    }

    /// Takes a name that UTS 46 has already mapped.
    pub(super) fn from_ascii(ascii: &str) -> Result<Self, Refusal> {
        let name = ascii.strip_suffix('.').unwrap_or(ascii);
        match problem(name) {
            None => Ok(Self(name.to_owned())),
            Some(problem) => Err(Refusal::quoting(Reason::HostInvalid, problem, name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, leftmost first; at least one.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether the name has no dot. Search lists may expand such a name, and none is a public host.
    pub fn is_single_label(&self) -> bool {
        !self.0.contains('.')
    }
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = Refusal;

    fn from_str(name: &str) -> Result<Self, Refusal> {
        Self::parse(name)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A canonical host.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a host is a name or an address; nothing else can be dialled"
)]
pub enum Host {
    /// A name.
    Domain(Domain),
    /// An address literal.
    Ip(IpAddr),
}

impl Host {
    /// The name, when the host is one.
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The address, when the host is a literal.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Domain(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl From<Domain> for Host {
    fn from(name: Domain) -> Self {
        Self::Domain(name)
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(ip.into())
    }
}

/// UTS 46 with the flags of the WHATWG URL standard (`beStrict` is false).
pub(super) fn to_ascii(name: &[u8]) -> Option<String> {
    let ascii = idna::domain_to_ascii_cow(name, AsciiDenyList::URL).ok()?;
    Some(ascii.into_owned())
}

/// What keeps `name` from being a host name that DNS can be asked for.
fn problem(name: &str) -> Option<&'static str> {
    if name.len() > Domain::MAX_LEN {
        return Some("name is longer than 253 octets:");
    }
    if let Some(problem) = name.split('.').find_map(label_problem) {
        return Some(problem);
    }
    ends_in_a_number(name).then_some("name ends in a number:")
}

fn label_problem(label: &str) -> Option<&'static str> {
    match label.as_bytes() {
        [] => Some("name has an empty label:"),
        octets if octets.len() > Domain::MAX_LABEL => Some("label is longer than 63 octets:"),
        [b'-', ..] | [.., b'-'] => Some("label begins or ends with `-`:"),
        octets if octets.iter().all(|octet| is_label_octet(*octet)) => None,
        _ => Some("name holds a character that no host name has:"),
    }
}

const fn is_label_octet(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

/// WHATWG URL, "ends in a number": such a host is an IPv4 address or invalid, never a name.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x");
    last.bytes().all(|octet| octet.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|octet| octet.is_ascii_hexdigit()))
}
