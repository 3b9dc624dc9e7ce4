//! The one registry of reason codes: WIT, Rust, CLI and JSON all use these strings.

use core::fmt;

/// Where in the way of a request something was refused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the URL.
    Parse,
    /// The scheme or the port.
    Scheme,
    /// Credentials in the URL.
    Userinfo,
    /// The name, before any lookup.
    Name,
    /// The lookup itself, or the answers of a name.
    Resolve,
    /// An address literal.
    Address,
    /// A redirect.
    Redirect,
    /// Opening the socket.
    Connect,
    /// Sending, receiving: budgets and deadlines of the exchange.
    Exchange,
    /// The policy itself failed.
    Policy,
}

impl Stage {
    /// The stable kebab-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Scheme => "scheme",
            Self::Userinfo => "userinfo",
            Self::Name => "name",
            Self::Resolve => "resolve",
            Self::Address => "address",
            Self::Redirect => "redirect",
            Self::Connect => "connect",
            Self::Exchange => "exchange",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal @ $stage:ident, $hint:literal;)+) => {
        /// Why something was refused. Each reason has one stable kebab-case code.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in the order of the way of a request.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable code, for programs.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The stage at which this reason arises.
            pub const fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)+ }
            }

            /// What to do about it, one sentence for a person.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)+ }
            }

            /// What it means: its documentation, one sentence.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The reason with this code.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    // Reading the URL.
    /// The URL does not parse (WHATWG URL standard), or has no host.
    UrlInvalid = "url-invalid" @ Parse, "give an absolute URL such as `https://example.com/path`";
    /// The URL is longer than the limit.
    UrlTooLong = "url-too-long" @ Parse, "shorten the URL";
    /// The raw text holds a control character or white space.
    UrlControl = "url-control-character" @ Parse, "percent-encode spaces and remove control characters";
    /// The raw text holds a backslash, which parsers read differently.
    UrlBackslash = "url-backslash" @ Parse, "write `/`, or `%5C` inside a path";
    /// A strict RFC 3986 reading and the WHATWG reading disagree on scheme, host or port.
    UrlAmbiguous = "url-ambiguous" @ Parse, "write the URL as scheme, `://`, host, optional port, path";
    /// The host name has an empty, too long or ill-formed label, or is too long.
    HostInvalid = "host-invalid" @ Parse, "labels have 1 to 63 of a-z, 0-9, `-` and `_`, and do not begin or end with `-`";
    /// The port is 0.
    PortZero = "port-zero" @ Parse, "use a port from 1 to 65535";

    // The policy's first stage.
    /// The scheme is none that a socket can be opened for.
    SchemeUnsupported = "scheme-unsupported" @ Scheme, "use `http` or `https`";
    /// The policy does not allow this scheme.
    SchemeDenied = "scheme-denied" @ Scheme, "use a scheme from the policy's `schemes`";
    /// The policy does not allow this port.
    PortDenied = "port-denied" @ Scheme, "use a port from the policy's `ports`";
    /// The URL carries credentials.
    UserinfoDenied = "userinfo-denied" @ Userinfo, "remove `user:password@` from the URL";
    /// An address literal is not written in its canonical form.
    LiteralNotCanonical = "literal-not-canonical" @ Parse, "write IPv4 as four decimal numbers and IPv6 in RFC 5952 form";
    /// The policy does not allow address literals.
    LiteralDenied = "literal-denied" @ Name, "use a host name";
    /// The name is reserved for special use and has no meaning on the public internet.
    NameSpecialUse = "name-special-use" @ Name, "use a public name, or list the name in `names.allow` of the policy";
    /// The name has a single label, which search lists may expand.
    NameSingleLabel = "name-single-label" @ Name, "use a fully qualified name";
    /// The name is that of a metadata or platform endpoint.
    NameMetadata = "name-metadata" @ Name, "metadata endpoints are never fetched on behalf of a URL";
    /// A deny pattern of the policy matches the name.
    HostDenied = "host-denied" @ Name, "the policy's `hosts.deny` names this host";
    /// The policy has a list of allowed hosts and this is none of them.
    HostNotAllowed = "host-not-allowed" @ Name, "add the name to the policy's `hosts.allow`, or an address literal to its `networks.allow`";
    /// The policy has no rule for this subject.
    SubjectDenied = "subject-denied" @ Name, "add the subject to the policy's `subjects`";

    // Resolution.
    /// The name does not exist or has no address.
    ResolveNoAnswer = "resolve-no-answer" @ Resolve, "check the spelling of the name";
    /// The resolver failed or answered with an error.
    ResolveFailed = "resolve-failed" @ Resolve, "check the DNS servers";
    /// The lookup took longer than its deadline.
    ResolveTimeout = "resolve-timeout" @ Resolve, "check the DNS servers, or raise the deadline";
    /// The answer holds more addresses than the limit.
    ResolveTooManyAnswers = "resolve-too-many-answers" @ Resolve, "the name answers with an unusual number of addresses";
    /// The chain of aliases is longer than the limit, or loops.
    ResolveChainTooLong = "resolve-chain-too-long" @ Resolve, "the name hides behind an unusual number of aliases";
    /// An alias that the answer came through is denied.
    ChainNameDenied = "chain-name-denied" @ Resolve, "the name is an alias of a denied name";

    // Addresses.
    /// The address is not globally reachable unicast.
    AddressNotPublic = "address-not-public" @ Address, "list the network in `networks.allow` of the policy if this is meant, or have an operator grant it if it is loopback or link-local";
    /// The address wraps an IPv4 address in IPv6.
    AddressWrapped = "address-wrapped" @ Address, "use the IPv4 address itself";
    /// The address is a metadata or platform endpoint, or wraps one.
    AddressMetadata = "address-metadata" @ Address, "metadata endpoints are never dialled on behalf of a URL";
    /// The host never dials this address without an operator's grant.
    AddressFloor = "address-floor" @ Address, "an operator may grant an address by prefix and port, but never one that wraps another in IPv6";
    /// The address is one of the guard's own listeners.
    AddressOwn = "address-own" @ Address, "the guard does not call itself";
    /// The address carries a zone identifier.
    AddressScoped = "address-scoped" @ Address, "use an address without a zone";
    /// A deny network of the policy holds the address.
    AddressDenied = "address-denied" @ Address, "the policy's `networks.deny` holds this address";
    /// One of several answers was refused and the policy refuses the whole.
    AnswersMixed = "answers-mixed" @ Resolve, "every address of a name must be allowed, or set `mixed_answers` to `filter`";

    // Connecting.
    /// The pin is older than its lifetime.
    PinExpired = "pin-expired" @ Connect, "pin again and connect at once";
    /// Another guard admitted or pinned this than the one that is to resolve or dial it.
    ProofForeign = "proof-foreign" @ Connect, "resolve and connect with the guard that judged";
    /// No judged address accepted the connection.
    ConnectFailed = "connect-failed" @ Connect, "the server is down or refuses connections";
    /// No judged address accepted the connection in time.
    ConnectTimeout = "connect-timeout" @ Connect, "the server is slow, or raise the deadline";
    /// The socket is connected to an address that was not judged.
    PeerMismatch = "peer-mismatch" @ Connect, "something between the guard and the network rewrites connections";
    /// TLS failed: the certificate is not valid for the name, or the handshake broke.
    TlsFailed = "tls-failed" @ Connect, "check the server's certificate and the trusted roots";

    // The exchange.
    /// A redirect has no usable `Location`, or one that parsers read differently.
    RedirectInvalid = "redirect-invalid" @ Redirect, "the server's `Location` is not a URL";
    /// More redirects than the budget.
    RedirectTooMany = "redirect-too-many" @ Redirect, "raise the redirect budget, or fetch the final URL";
    /// A redirect needs the body again, which was already sent.
    RedirectBody = "redirect-body" @ Redirect, "send a body that can be repeated, or fetch the final URL";
    /// The terms of the policy allow `https` only.
    HttpsRequired = "https-required" @ Scheme, "use `https`";
    /// The exchange took longer than its deadline.
    DeadlineExceeded = "deadline-exceeded" @ Exchange, "raise the deadline";
    /// The response is larger than the budget.
    ResponseTooLarge = "response-too-large" @ Exchange, "raise the byte budget";
    /// The head of the response, interim ones (1xx) before it included, is larger than the limits.
    ResponseHeadTooLarge = "response-head-too-large" @ Exchange, "the server sends unusual headers, or raise the limits on a response head";
    /// The decoded response is larger than the budget.
    ResponseInflated = "response-inflated" @ Exchange, "the response is a decompression bomb, or raise the byte budget";
    /// The server broke the protocol, or its response cannot be decoded.
    ResponseInvalid = "response-invalid" @ Exchange, "the server does not speak valid HTTP";
    /// The connection broke before the response was complete.
    ConnectionLost = "connection-lost" @ Exchange, "the server or the network closed the connection: try again";
    /// The caller gave up before the request had ended.
    Abandoned = "abandoned" @ Exchange, "nothing was refused: the caller dropped the request";

    // The policy failed.
    /// The method, the subject or the labels that the caller added are larger than a policy takes.
    RequestOversized = "request-oversized" @ Policy, "add fewer and shorter labels";
    /// No policy is loaded.
    PolicyMissing = "policy-missing" @ Policy, "load a policy";
    /// The policy trapped.
    PolicyTrapped = "policy-trapped" @ Policy, "the policy is faulty: see the operator's log";
    /// The policy took longer than its deadline.
    PolicyTimeout = "policy-timeout" @ Policy, "the policy is faulty, or raise its deadline";
    /// The policy overflowed its stack.
    PolicyStack = "policy-stack" @ Policy, "the policy is faulty: see the operator's log";
    /// The policy asked for more memory than it may have.
    PolicyMemory = "policy-memory" @ Policy, "the policy is faulty, or raise its memory limit";
    /// The policy answered with more than it may, or with something malformed.
    PolicyOutput = "policy-output" @ Policy, "the policy is faulty: see the operator's log";
    /// The policy answered with a number of verdicts that is not the number of addresses.
    PolicyVerdictCount = "policy-verdict-count" @ Policy, "the policy is faulty: see the operator's log";
    /// No instance of the policy was free.
    PolicyBusy = "policy-busy" @ Policy, "try again, or raise the pool's size";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Reason {
    /// The longest code, in octets, also for the codes that a policy makes up (see `denial` in the
    /// contract).
    pub const MAX_CODE: usize = 64;
}

#[cfg(feature = "serde")]
impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = alloc::string::String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("no such reason"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }

    #[test]
    fn codes_are_short_kebab_case() {
        for code in Reason::ALL.iter().map(|reason| reason.code()) {
            let word = |word: &str| {
                !word.is_empty()
                    && word
                        .bytes()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            };
            assert!(code.split('-').all(word), "{code}");
            assert!(code.len() <= Reason::MAX_CODE, "{code}");
        }
    }

    #[test]
    fn a_code_names_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::from_code("no-such-code"), None);
        assert_eq!(Reason::from_code(""), None);
    }

    #[test]
    fn summaries_are_sentences_and_hints_are_phrases() {
        for reason in Reason::ALL {
            let (summary, hint) = (reason.summary(), reason.hint());
            assert_eq!(summary, summary.trim(), "{reason}");
            assert!(
                summary.ends_with('.') && !summary.contains("  "),
                "{reason}"
            );
            assert!(!hint.is_empty() && !hint.ends_with('.'), "{reason}");
            assert!(
                !hint.starts_with(|first: char| first.is_uppercase()),
                "{reason}"
            );
        }
    }

    #[test]
    fn stages_are_told_apart_by_name() {
        let stages: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.stage()).collect();
        let names: BTreeSet<_> = stages.iter().map(|stage| stage.as_str()).collect();
        assert_eq!(names.len(), stages.len());
    }
}
