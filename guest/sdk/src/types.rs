//! What a policy is asked and what it answers, as plain Rust values.
//!
//! The same records as in `wit/types.wit`, with addresses as [`IpAddr`] and classes as
//! [`Class`]. They are built by hand in tests, and by `export!` from what the host hands over.

use std::{borrow::Cow, fmt, net::IpAddr};

use pinfold_addr::{Class, Classified, Classifier, Embedded, Reason};

use crate::name_matches;

/// The canonical host of a URL.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "mirrors a WIT variant, which cannot grow"
)]
pub enum Host {
    /// A name: ASCII, lower case, no trailing dot, at most 253 octets.
    Domain(String),
    /// An address literal. `check_addresses` sees it again as the only answer.
    Ip(IpAddr),
}

impl Host {
    /// Whether this is a name that the pattern means, as [`name_matches`] says; an address never is.
    pub fn matches(&self, pattern: &str) -> bool {
        match self {
            Self::Domain(name) => name_matches(pattern, name),
            Self::Ip(_) => false,
        }
    }
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => f.pad(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl From<&str> for Host {
    /// An address when it is written as one (IPv6 without brackets), else a name as it stands.
    fn from(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Domain(text.into()), Self::Ip)
    }
}

/// Unusual spellings that the canonical target no longer shows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Spelling {
    /// The authority held userinfo, which was dropped.
    pub userinfo: bool,
    /// The host is an address that was not written canonically.
    pub non_canonical_literal: bool,
}

/// Where a request wants to go.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Target {
    /// Lower case: `http`, `https`, `ws`, `wss` or `ftp`.
    pub scheme: String,
    /// The canonical host.
    pub host: Host,
    /// The effective port, never 0.
    pub port: u16,
    /// Percent-encoded path, begins with `/`.
    pub path: String,
    /// Query without `?`.
    pub query: Option<String>,
    /// Unusual spellings.
    pub spelling: Spelling,
}

impl Target {
    /// A target with path `/`, for tests.
    pub fn new(scheme: impl Into<String>, host: impl Into<Host>, port: u16) -> Self {
        Self {
            scheme: scheme.into(),
            host: host.into(),
            port,
            path: "/".into(),
            query: None,
            spelling: Spelling::default(),
        }
    }
}

impl fmt::Display for Target {
    /// Scheme, host and port: what a decision is about, without path and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// One hop of one request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Request {
    /// Where this hop goes.
    pub target: Target,
    /// HTTP method in upper case; `None` for a bare connection.
    pub method: Option<String>,
    /// Who asks, authenticated by the embedder.
    pub subject: Option<String>,
    /// What the embedder adds, in its order; a key may repeat.
    pub labels: Vec<(String, String)>,
    /// 0 for the first request, 1 for the first redirect.
    pub hop: u8,
    /// The hop before this one.
    pub previous: Option<Target>,
}

impl Request {
    /// A first hop to this target, for tests.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            method: None,
            subject: None,
            labels: Vec::new(),
            hop: 0,
            previous: None,
        }
    }

    /// Sets the HTTP method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Sets who asks.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// The value of the first label with this key.
    pub fn label_value(&self, key: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the embedder says this, and nothing else, with this label. A key may repeat: two values
    /// that differ are a contradiction, not a choice.
    ///
    /// ```
    /// use pinfold_policy::{Request, Target};
    ///
    /// let request = Request::new(Target::new("https", "example.com", 443)).label("hours", "open");
    /// assert!(request.label_is("hours", "open"));
    /// assert!(!request.label("hours", "closed").label_is("hours", "open"));
    /// ```
    pub fn label_is(&self, key: &str, value: &str) -> bool {
        let mut said = self
            .labels
            .iter()
            .filter(|(name, _)| name == key)
            .peekable();
        said.peek().is_some() && said.all(|(_, said)| said == value)
    }
}

/// One address that the name resolved to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Answer {
    /// The address as the resolver gave it.
    pub address: IpAddr,
    /// What it is.
    pub class: Class,
    /// Every IPv4 address inside it.
    pub embedded: Vec<Embedded>,
    /// Whether the operator grants this very address and port.
    pub granted: bool,
}

impl Answer {
    /// The answer that a host without NAT64 prefixes and grants would hand over, for tests.
    pub fn classify(address: IpAddr) -> Self {
        Classifier::default().classify(address).into()
    }

    /// Marks the address as granted by the operator.
    #[must_use]
    pub fn granted(mut self) -> Self {
        self.granted = true;
        self
    }

    /// Whether it is globally reachable, or what the operator grants. Does not look inside: a tunnel is
    /// not public, but what the operator grants may be one.
    pub fn is_public_or_granted(&self) -> bool {
        self.granted || self.class == Class::Public
    }

    /// Whether every IPv4 address inside it is public; true when there is none. What an address carries
    /// inside counts as much as the address: a tunnel ends there.
    pub fn wraps_only_public(&self) -> bool {
        self.embedded
            .iter()
            .all(|inner| inner.class == Class::Public)
    }
}

impl From<Classified> for Answer {
    fn from(known: Classified) -> Self {
        Self {
            address: known.address,
            class: known.class,
            embedded: known.embedded,
            granted: false,
        }
    }
}

/// What the name resolved to, once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Resolution {
    /// The alias names the answer came through, in order, without the name asked for.
    pub chain: Vec<String>,
    /// All addresses, at least one.
    pub answers: Vec<Answer>,
}

impl Resolution {
    /// Answers as [`Answer::classify`] makes them, for tests.
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            chain: Vec::new(),
            answers: addresses.into_iter().map(Answer::classify).collect(),
        }
    }

    /// One verdict for each address, in their order: what stage two answers.
    pub fn judge(&self, judge: impl FnMut(&Answer) -> Verdict) -> Vec<Verdict> {
        self.answers.iter().map(judge).collect()
    }

    /// Adds an alias that the answer came through.
    #[must_use]
    pub fn through(mut self, alias: impl Into<String>) -> Self {
        self.chain.push(alias.into());
        self
    }
}

/// What an allowed request must obey. Each field only tightens what the host would do anyway.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Terms {
    /// Milliseconds for all connection attempts together.
    pub connect_timeout_ms: Option<u32>,
    /// Milliseconds for the whole exchange, redirects and body included.
    pub total_timeout_ms: Option<u32>,
    /// Kibibytes of response body, as received and again as decoded.
    pub response_kib: Option<u32>,
    /// Redirects to follow at most; 0 means none.
    pub redirects: Option<u8>,
    /// Only `https` and `wss` from here on.
    pub https_only: bool,
}

/// A refusal, for programs (the code) and for the operator (the message).
///
/// ```
/// use pinfold_policy::{Denial, Reason};
///
/// let known = Denial::new(Reason::HostDenied, "`hosts.deny[2]` example.net");
/// assert_eq!(known.code(), "host-denied");
/// let own = Denial::new("after-hours", "the office is closed");
/// assert_eq!(own.message(), "the office is closed");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denial {
    code: Code,
    message: String,
}

impl Denial {
    /// The longest message that reaches the host, in octets; what is longer is cut.
    pub const MAX_MESSAGE: usize = 512;

    /// A refusal. The code is a [`Reason`], or kebab-case of the policy's own, at most 64 octets.
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        truncate(&mut message, Self::MAX_MESSAGE);
        Self {
            code: code.into(),
            message,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code.0
    }

    /// What was refused and by which rule.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_parts(self) -> (String, String) {
        (self.code.0.into_owned(), self.message)
    }
}

/// The code of a [`Denial`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Code(Cow<'static, str>);

impl From<Reason> for Code {
    fn from(reason: Reason) -> Self {
        Self(Cow::Borrowed(reason.code()))
    }
}

impl From<&'static str> for Code {
    fn from(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }
}

impl From<String> for Code {
    fn from(code: String) -> Self {
        Self(Cow::Owned(code))
    }
}

/// The answer of stage one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "mirrors a WIT variant, which cannot grow"
)]
pub enum Decision {
    /// The name may be looked up. Not yet a permission to connect.
    Allow(Terms),
    /// Final: no lookup takes place.
    Deny(Denial),
}

impl Decision {
    /// A refusal: see [`Denial::new`].
    pub fn deny(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self::Deny(Denial::new(code, message))
    }
}

impl From<Result<Terms, Denial>> for Decision {
    fn from(result: Result<Terms, Denial>) -> Self {
        result.map_or_else(Self::Deny, Self::Allow)
    }
}

/// The answer of stage two, one for each address.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "mirrors a WIT variant, which cannot grow"
)]
pub enum Verdict {
    /// A socket may be opened to this address.
    Allow,
    /// No socket may be opened to this address.
    Deny(Denial),
}

impl Verdict {
    /// A refusal: see [`Denial::new`].
    pub fn deny(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self::Deny(Denial::new(code, message))
    }
}

impl From<Result<(), Denial>> for Verdict {
    fn from(result: Result<(), Denial>) -> Self {
        result.map_or_else(Self::Deny, |()| Self::Allow)
    }
}

/// What a policy says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Description {
    /// Short name, kebab-case, at most 64 octets.
    pub name: String,
    /// Semantic version, at most 64 octets.
    pub version: String,
    /// One line, at most 256 octets.
    pub summary: String,
    /// JSON Schema (draft 2020-12) of the settings, at most 256 KiB, of the keywords that `wit/policy.wit`
    /// lists at `settings-schema`; one with any other is refused.
    pub settings_schema: String,
}

/// Cuts at a character boundary.
pub(crate) fn truncate(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
}
