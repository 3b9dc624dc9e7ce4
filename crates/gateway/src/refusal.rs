//! Why a client gets no connection: what it is told, in HTTP and in SOCKS. Never an address.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use pinfold::{Denial, Error};
use pinfold_addr::{Reason, Stage};

/// A refusal or a failure, as a client may know it: kind, stage, code, hint.
///
/// It is made from an error of the guard by dropping whatever names addresses. A code of a policy is passed on, its
/// detail is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    /// `parse`, `name`, `resolve`, ...; of the gateway's own: `request`, `identity`, `limit`, `tunnel`.
    pub(crate) stage: &'static str,
    /// Stable, kebab-case.
    pub(crate) code: Cow<'static, str>,
    pub(crate) hint: Option<&'static str>,
    /// When to come back, for what is limited.
    pub(crate) retry_after: Option<Duration>,
}

/// What is to blame; decides the status of HTTP (in brackets) and the reply of SOCKS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The request cannot be understood, or is of a kind that is not served [400].
    Malformed,
    /// The head of the request is larger than is read [431].
    Oversized,
    /// The request did not come in time [408].
    Slow,
    /// Credentials are missing or wrong [407].
    Unauthenticated,
    /// Policy, floor, or identity refuse [403].
    Denied,
    /// The subject is over its limit [429].
    Limited,
    /// The gateway is over its limit, or draining [503].
    Overloaded,
    /// The policy itself failed [503].
    PolicyFault,
    /// The name has no usable answer [502].
    Unresolved,
    /// Nobody accepts the connection, or it broke [502].
    Unreachable,
    /// A deadline passed: lookup, connection, or response [504].
    TimedOut,
}

impl Refusal {
    /// One of the gateway's own.
    pub(crate) fn new(kind: Kind, stage: &'static str, code: &'static str) -> Self {
        Self {
            kind,
            stage,
            code: Cow::Borrowed(code),
            hint: None,
            retry_after: None,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// A URL that does not parse: nothing was judged.
    pub(crate) fn from_parse(refusal: &pinfold_addr::Refusal) -> Self {
        let reason = refusal.reason;
        Self {
            stage: reason.stage().as_str(),
            ..Self::new(Kind::Malformed, "parse", reason.code()).hint(reason.hint())
        }
    }

    pub(crate) fn from_denial(denial: &Denial, denied: bool, timeout: bool) -> Self {
        let kind = match (denial.stage(), denied) {
            // Not the policy failed: what it would have been asked is too large.
            _ if denial.reason() == Some(Reason::RequestOversized) => Kind::Denied,
            (Stage::Policy, _) => Kind::PolicyFault,
            _ if timeout => Kind::TimedOut,
            (_, true) => Kind::Denied,
            (Stage::Resolve, false) => Kind::Unresolved,
            _ => Kind::Unreachable,
        };
        let reason = denial.reason().map(untelling);
        let code = reason.map(|reason| Cow::Borrowed(reason.code()));
        Self {
            kind,
            stage: denial.stage().as_str(),
            code: code.unwrap_or_else(|| Cow::Owned(denial.code().to_owned())),
            hint: reason.map(Reason::hint),
            retry_after: None,
        }
    }

    /// The error type of RFC 9209 that says it best.
    pub(crate) fn proxy_error(&self) -> &'static str {
        match (self.kind, self.stage, &*self.code) {
            (Kind::Malformed | Kind::Oversized | Kind::Slow, ..) => "http_request_error",
            (Kind::Denied, _, code) if code.starts_with("address-") => "destination_ip_prohibited",
            (Kind::Unauthenticated | Kind::Denied | Kind::Limited, ..) => "http_request_denied",
            (Kind::Overloaded, ..) => "connection_limit_reached",
            (Kind::PolicyFault, ..) => "proxy_internal_error",
            (Kind::Unresolved, ..) => "dns_error",
            (Kind::TimedOut, "resolve", _) => "dns_timeout",
            (Kind::TimedOut, "connect", _) => "connection_timeout",
            (Kind::TimedOut, ..) => "http_response_timeout",
            (Kind::Unreachable, _, "connect-failed") => "connection_refused",
            (Kind::Unreachable, _, "tls-failed") => "tls_protocol_error",
            (Kind::Unreachable, _, "connection-lost") => "connection_terminated",
            (Kind::Unreachable, _, "response-invalid" | "response-proxy-auth") => {
                "http_protocol_error"
            }
            (Kind::Unreachable, _, "response-head-too-large") => {
                "http_response_header_section_size"
            }
            (Kind::Unreachable, _, "response-too-large") => "http_response_body_size",
            (Kind::Unreachable, ..) => "destination_unavailable",
        }
    }

    /// For the operator, who alone can do it: what to raise.
    pub(crate) fn raise(&self) -> Option<&'static str> {
        Some(match &*self.code {
            "limit-connections" => "raise `limits.connections`",
            "limit-source" => "raise `limits.connections_per_source`",
            "limit-tunnels" => "raise `limits.tunnels`",
            "limit-rate" => "raise `limits.rate`",
            "limit-subject-tunnels" => {
                "raise `tunnels` of the subject, in `limits.subject` or `limits.subjects`"
            }
            "limit-subject-rate" => {
                "raise `rate` of the subject, in `limits.subject` or `limits.subjects`"
            }
            _ => return None,
        })
    }

    /// When to come back, for those that may.
    pub(crate) fn comes_back(&self) -> Option<Duration> {
        self.retry_after.or(match self.kind {
            Kind::Limited | Kind::Overloaded | Kind::PolicyFault => Some(RETRY),
            _ => None,
        })
    }
}

/// What a client is told in place of a reason that would let it look for the listeners of the gateway.
fn untelling(reason: Reason) -> Reason {
    match reason {
        Reason::AddressOwn => Reason::AddressFloor,
        other => other,
    }
}

impl Kind {
    /// The status of HTTP.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Oversized => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthenticated => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::PolicyFault => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unresolved | Self::Unreachable => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// When to come back, where nothing says it better.
const RETRY: Duration = Duration::from_secs(1);

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Self::from_denial(error.denial(), error.is_denied(), error.is_timeout())
    }
}

impl From<&pinfold_http::Error> for Refusal {
    fn from(error: &pinfold_http::Error) -> Self {
        match error.denial() {
            Some(denial) => Self::from_denial(denial, error.is_denied(), error.is_timeout()),
            None if error.is_timeout() => Self::new(Kind::Slow, "request", "request-body-timeout")
                .hint("send the body of the request without long pauses"),
            // What we send is well-formed; only its body comes from somebody who may break off.
            None => Self::new(Kind::Malformed, "request", "request-body-failed")
                .hint("the body of the request ended early, or its chunks are malformed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status_and_its_error_type() {
        let rows = [
            (Reason::HostDenied, true, false, 403, "http_request_denied"),
            (
                Reason::AddressNotPublic,
                true,
                false,
                403,
                "destination_ip_prohibited",
            ),
            (Reason::ResolveNoAnswer, false, false, 502, "dns_error"),
            (Reason::ResolveTimeout, false, true, 504, "dns_timeout"),
            (
                Reason::ConnectFailed,
                false,
                false,
                502,
                "connection_refused",
            ),
            (
                Reason::ConnectTimeout,
                false,
                true,
                504,
                "connection_timeout",
            ),
            (
                Reason::DeadlineExceeded,
                false,
                true,
                504,
                "http_response_timeout",
            ),
            (Reason::TlsFailed, false, false, 502, "tls_protocol_error"),
            (
                Reason::ConnectionLost,
                false,
                false,
                502,
                "connection_terminated",
            ),
            (
                Reason::ResponseInvalid,
                false,
                false,
                502,
                "http_protocol_error",
            ),
            (
                Reason::RequestOversized,
                true,
                false,
                403,
                "http_request_denied",
            ),
            (
                Reason::PolicyTrapped,
                true,
                false,
                503,
                "proxy_internal_error",
            ),
            (
                Reason::PolicyTimeout,
                true,
                true,
                503,
                "proxy_internal_error",
            ),
        ];
        for (reason, denied, timeout, status, error) in rows {
            let refusal = Refusal::from_denial(&Denial::new(reason, "10.0.0.1"), denied, timeout);
            assert_eq!(refusal.kind.status(), status, "{reason:?}");
            assert_eq!(refusal.proxy_error(), error, "{reason:?}");
            assert_eq!(refusal.comes_back().is_some(), status == 503, "{reason:?}");
        }
    }

    #[test]
    fn which_addresses_are_the_gateways_own_is_not_told() {
        let told = |reason| Refusal::from_denial(&Denial::new(reason, "127.0.0.1"), true, false);
        assert_eq!(told(Reason::AddressOwn), told(Reason::AddressFloor));
        assert_eq!(told(Reason::AddressOwn).code, "address-floor");
    }

    #[test]
    fn the_operator_is_told_what_to_raise() {
        for (code, raise) in [
            ("limit-connections", Some("raise `limits.connections`")),
            ("limit-rate", Some("raise `limits.rate`")),
            ("limit-tunnels", Some("raise `limits.tunnels`")),
            ("credentials-wrong", None),
        ] {
            let refusal = Refusal::new(Kind::Overloaded, "limit", code);
            assert_eq!(refusal.raise(), raise, "{code}");
        }
    }

    #[test]
    fn a_url_that_does_not_parse_is_the_clients_fault() {
        let refusal = pinfold_addr::Target::parse("http://a\\b/").unwrap_err();
        let refusal = Refusal::from_parse(&refusal);
        assert_eq!(
            (refusal.kind.status().as_u16(), refusal.stage),
            (400, "parse")
        );
    }
}
