//! `Target`: a URL that was parsed once, and whose two readings agree.

mod host;
mod parts;
mod raw;
mod refusal;
mod scheme;
#[cfg(feature = "serde")]
mod serde;
mod strict;
#[cfg(test)]
mod tests;

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};
use core::{fmt, net::IpAddr, str::FromStr};

use url::Url;

use self::strict::{Authority, Reading};
pub use self::{
    host::{Domain, Host},
    parts::TargetParts,
    refusal::Refusal,
    scheme::Scheme,
};
use crate::Reason;

/// Unusual spellings that the canonical form no longer shows.
///
/// They do not fail the parse, because the operator may permit them; the default policy refuses them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(::serde::Deserialize, ::serde::Serialize),
    serde(default)
)]
#[non_exhaustive]
pub struct Spelling {
    /// The authority held userinfo, if only an `@`; it was dropped.
    pub userinfo: bool,
    /// An address literal was not written canonically: `0x7f.1`, `2130706433`, `127.0.0.1.`,
    /// full-width or percent-encoded digits, `[0:0:0:0:0:0:0:1]`.
    pub non_canonical_literal: bool,
}

/// A URL that was parsed once. Its existence is the proof that two readings of it agree.
///
/// The text is read by the WHATWG URL standard and again by RFC 3986 (with the characters of RFC
/// 3987); both must see the same scheme, host and port. What is left is canonical: lower case, names in
/// ASCII without the root dot, addresses parsed, the port explicit, no credentials, no fragment.
///
/// An empty port (`http://h:/`) and leading zeros (`:00080`) are accepted, because both standards give
/// them one meaning; port 0 is refused.
///
/// ```
/// use pinfold_addr::{Reason, Target};
///
/// let target = Target::parse("HTTPS://user@Example.COM.:443/a/../b?q#f")?;
/// assert_eq!(target.to_string(), "https://example.com/b?q");
/// assert!(target.spelling().userinfo);
///
/// // WHATWG sees the host 8.8.8.8, RFC 3986 sees none.
/// let refusal = Target::parse(r"http://8.8.8.8\@127.0.0.1/").unwrap_err();
/// assert_eq!(refusal.reason, Reason::UrlBackslash);
/// # Ok::<(), pinfold_addr::Refusal>(())
/// ```
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
    /// The longest URL that is read, and the longest canonical URL that comes out, in octets.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Parses an absolute URL.
    ///
    /// # Errors
    ///
    /// The first that applies: `url-too-long`, `url-invalid` (WHATWG does not parse it),
    /// `scheme-unsupported`, `url-control-character`, `url-backslash`, `host-invalid`,
    /// `url-ambiguous`, `port-zero`.
    pub fn parse(url: &str) -> Result<Self, Refusal> {
        Self::read(url, None)
    }

    /// A target for a bare connection (CONNECT, SOCKS): `host:port`, IPv6 in brackets; path `/`.
    ///
    /// # Errors
    ///
    /// As [`Target::parse`]; `url-invalid` when the port is missing or the text holds more than host
    /// and port.
    ///
    /// ```
    /// use pinfold_addr::{Scheme, Target};
    ///
    /// let target = Target::from_authority(Scheme::Https, "[2001:db8::1]:8443")?;
    /// assert_eq!(target.to_string(), "https://[2001:db8::1]:8443/");
    /// assert!(Target::from_authority(Scheme::Https, "example.com").is_err());
    /// # Ok::<(), pinfold_addr::Refusal>(())
    /// ```
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, Refusal> {
        check_len(authority)?;
        if authority.contains(['@', '/', '?', '#']) {
            return Err(Refusal::new(Reason::UrlInvalid, "more than `host:port`"));
        }
        let target = Self::parse(&format!("{scheme}://{authority}/"))?;
        match Authority::of(authority) {
            Ok(Authority { port: Some(_), .. }) => Ok(target),
            _ => Err(Refusal::new(Reason::UrlInvalid, "the port is missing")),
        }
    }

    /// Resolves a redirect's `Location` against this target and parses the result as strictly.
    ///
    /// The raw text of the location is judged like that of an absolute URL, and a location without an
    /// authority must lead to the host and port of this target. `http:127.0.0.1` is a path for WHATWG
    /// and a host for others: `url-ambiguous`. The [`Spelling`] is that of the location.
    ///
    /// # Errors
    ///
    /// As [`Target::parse`].
    ///
    /// ```
    /// use pinfold_addr::Target;
    ///
    /// let base = Target::parse("https://example.com/a/b?q")?;
    /// assert_eq!(base.join("../c")?.to_string(), "https://example.com/c");
    /// assert_eq!(base.join("//example.net:8443")?.to_string(), "https://example.net:8443/");
    /// # Ok::<(), pinfold_addr::Refusal>(())
    /// ```
    pub fn join(&self, location: &str) -> Result<Self, Refusal> {
        Self::read(location, Some(self))
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

    /// The path in its percent-encoded form, begins with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without `?`; `None` when there was no `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Unusual spellings that were normalised away.
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// `host` or `host:port`, the port left out when it is the scheme's default: for `Host` headers.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Path and query, for a request line.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            None => self.path.clone(),
            Some(query) => format!("{}?{query}", self.path),
        }
    }

    /// Whether both have the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    fn read(text: &str, base: Option<&Self>) -> Result<Self, Refusal> {
        check_len(text)?;
        let url = whatwg(text, base)?;
        let scheme = url.scheme().parse()?;
        raw::check(text)?;
        let mut target = Self::of_whatwg(&url, scheme)?;
        target.spelling = target.compare(text, base).map_err(ambiguous)?;
        if target.port == 0 {
            return Err(Refusal::new(Reason::PortZero, "port 0"));
        }
        check_len(&target.to_string())?;
        Ok(target)
    }

    fn of_whatwg(url: &Url, scheme: Scheme) -> Result<Self, Refusal> {
        Ok(Self {
            scheme,
            host: host_of_whatwg(url)?,
            port: url.port().unwrap_or(scheme.default_port()),
            path: url.path().to_owned(),
            query: url.query().map(ToOwned::to_owned),
            spelling: Spelling::default(),
        })
    }

    /// Reads the raw text again and compares it with what WHATWG saw, which is `self`.
    fn compare(&self, text: &str, base: Option<&Self>) -> Result<Spelling, strict::Problem> {
        let reading = Reading::of(text)?;
        let same_scheme = match (reading.scheme, base) {
            (Some(scheme), _) => scheme.eq_ignore_ascii_case(self.scheme.as_str()),
            (None, base) => base.is_some_and(|base| base.scheme == self.scheme),
        };
        if !same_scheme {
            return Err("the scheme is read in two ways");
        }
        match reading.authority {
            Some(authority) => self.compare_authority(&authority),
            None if base.is_some_and(|base| self.same_origin(base)) => Ok(Spelling::default()),
            None => Err("the host is read in two ways"),
        }
    }

    fn compare_authority(&self, authority: &Authority<'_>) -> Result<Spelling, strict::Problem> {
        authority.agrees(self.scheme, &self.host, self.port)?;
        let canonical = self
            .host
            .ip()
            .is_none_or(|ip| authority.is_canonical_literal(ip));
        Ok(Spelling {
            userinfo: authority.userinfo.is_some(),
            non_canonical_literal: !canonical,
        })
    }
}

impl FromStr for Target {
    type Err = Refusal;

    fn from_str(url: &str) -> Result<Self, Refusal> {
        Self::parse(url)
    }
}

impl fmt::Display for Target {
    /// The canonical URL, without credentials and fragment. It parses to an equal target, but for
    /// [`Spelling`], which is then unremarkable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme,
            self.authority(),
            self.path_and_query()
        )
    }
}

fn check_len(text: &str) -> Result<(), Refusal> {
    if text.len() <= Target::MAX_LEN {
        return Ok(());
    }
    let detail = format!("{} octets, the limit is {}", text.len(), Target::MAX_LEN);
    Err(Refusal::new(Reason::UrlTooLong, detail))
}

/// The one WHATWG parse.
fn whatwg(text: &str, base: Option<&Target>) -> Result<Url, Refusal> {
    let parsed = match base {
        None => Url::parse(text),
        Some(base) => Url::parse(&base.to_string()).and_then(|base| base.join(text)),
    };
    parsed.map_err(|error| Refusal::new(Reason::UrlInvalid, error.to_string()))
}

fn host_of_whatwg(url: &Url) -> Result<Host, Refusal> {
    match url.host() {
        Some(url::Host::Domain(name)) => Domain::from_ascii(name).map(Host::Domain),
        Some(url::Host::Ipv4(ip)) => Ok(Host::Ip(IpAddr::V4(ip))),
        Some(url::Host::Ipv6(ip)) => Ok(Host::Ip(IpAddr::V6(ip))),
        None => Err(Refusal::new(Reason::UrlInvalid, "no host")),
    }
}

fn ambiguous(problem: strict::Problem) -> Refusal {
    Refusal::new(Reason::UrlAmbiguous, problem)
}
