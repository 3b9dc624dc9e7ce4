//! What an Envoy asks, read strictly: one authority or server name, a scheme that fits what Envoy will speak.
//!
//! What is refused is refused for the first of these that is wrong: what the route says, the method, the scheme, the
//! authority, the path. Where Envoy hands on what a client wrote as it came, nothing of it is mended here: the text
//! that is judged is the text that the server will read.

use std::{collections::HashMap, net::SocketAddr};

use pinfold_addr::{Domain, Host, Reason, Scheme, Target};

use super::{TLS, UPSTREAM, wire};
use crate::{
    client::Correlation,
    egress,
    event::Exchange,
    http,
    refusal::{Kind, Refusal},
};

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) kind: Exchange,
    pub(super) target: Target,
    pub(super) method: Option<String>,
    pub(super) labels: Vec<(String, String)>,
}

/// Who asks through Envoy, and how to answer: known even where the question cannot be read.
#[derive(Debug, Default)]
pub(super) struct Asker {
    pub(super) principal: String,
    pub(super) address: Option<SocketAddr>,
    pub(super) correlation: Option<Correlation>,
    pub(super) traceparent: Option<String>,
    pub(super) accept: Option<String>,
}

impl Asker {
    pub(super) fn of(attributes: &wire::Attributes) -> Self {
        let http = of_http(attributes);
        let source = attributes.source.as_ref();
        Self {
            principal: source
                .map(|peer| peer.principal.clone())
                .unwrap_or_default(),
            address: source.and_then(address),
            correlation: http.and_then(correlation),
            traceparent: http.and_then(|http| field(http, "traceparent", http::TRACEPARENT)),
            accept: http.and_then(|http| field(http, "accept", ACCEPT)),
        }
    }
}

/// The id that the logs of Envoy show; `id` is a number of its own, which they do not.
fn correlation(http: &wire::HttpRequest) -> Option<Correlation> {
    let shown = http.headers.get("x-request-id");
    Correlation::of(shown.unwrap_or(&http.id))
}

impl Question {
    /// Reads what is asked; a server name stands for this port.
    pub(super) fn read(attributes: &wire::Attributes, tls_port: u16) -> Result<Self, Refusal> {
        let route = Route::of(&attributes.context_extensions)?;
        match of_http(attributes) {
            Some(http) if http.method == CONNECT => Self::of_connect(http, route),
            Some(http) => Self::of_request(http, route),
            None => Self::of_tls(attributes.tls_session.as_ref(), tls_port, route),
        }
    }

    /// Scheme and port of the target follow from the authority alone: bytes of the client go to the server as they come.
    fn of_connect(http: &wire::HttpRequest, route: Route) -> Result<Self, Refusal> {
        let authority = authority(&http.host)?;
        if !http.path.is_empty() {
            return Err(connect_authority());
        }
        let target = egress::tunnel_target(authority).map_err(|refusal| match refusal.reason {
            Reason::UrlInvalid => connect_authority(),
            _ => Refusal::from_parse(&refusal),
        })?;
        Ok(Self {
            kind: Exchange::Connect,
            target,
            method: Some(http.method.clone()),
            labels: route.labels,
        })
    }

    fn of_request(http: &wire::HttpRequest, route: Route) -> Result<Self, Refusal> {
        http::served_method(&http.method)?;
        let scheme = scheme(&http.scheme, route.tls)?;
        let authority = authority(&http.host)?;
        let path = path(&http.path)?;
        let target = Target::parse(&format!("{scheme}://{authority}{path}"));
        Ok(Self {
            kind: Exchange::Forward,
            target: target.map_err(|refusal| Refusal::from_parse(&refusal))?,
            method: Some(http.method.clone()),
            labels: route.labels,
        })
    }

    fn of_tls(
        session: Option<&wire::TlsSession>,
        port: u16,
        route: Route,
    ) -> Result<Self, Refusal> {
        let name = session.map_or("", |session| session.sni.as_str());
        if name.is_empty() {
            return Err(sni_missing());
        }
        let name = server_name(name).ok_or_else(sni_unreadable)?;
        let target = Target::from_authority(Scheme::Https, &format!("{}:{port}", name.as_str()));
        let target = target.map_err(|refusal| Refusal::from_parse(&refusal))?;
        // An address is none that can be named (RFC 6066, 3), `0x7f.1` included: servers ignore it.
        match target.host() {
            Host::Domain(_) => Ok(Self {
                kind: Exchange::Sni,
                target,
                method: None,
                labels: route.labels,
            }),
            Host::Ip(_) => Err(sni_unreadable()),
        }
    }
}

/// For the operator: what was asked for, without what may be secret in it.
pub(super) fn described(attributes: &wire::Attributes) -> String {
    let mut text = match of_http(attributes) {
        Some(http) => {
            let host = http.host.rsplit_once('@').map_or(&*http.host, |(_, h)| h);
            // Whatever comes after an authority may be a path.
            let host = host.split(['/', '\\', '?', '#']).next().unwrap_or_default();
            match host {
                "" => format!("{}, without a host", http.method),
                host => format!("{} {host}", http.method),
            }
        }
        None => match &attributes.tls_session {
            Some(session) if !session.sni.is_empty() => format!("TLS for {}", session.sni),
            _ => "no request of HTTP, and no server name".into(),
        },
    };
    text.truncate(text.floor_char_boundary(DESCRIPTION));
    text
}

/// What the route of Envoy says; never a client.
struct Route {
    /// Whether Envoy speaks TLS to the server.
    tls: bool,
    /// For the policy.
    labels: Vec<(String, String)>,
}

impl Route {
    fn of(extensions: &HashMap<String, String>) -> Result<Self, Refusal> {
        // Before anything is copied or sorted.
        if extensions.len() > MOST_EXTENSIONS {
            return Err(oversized());
        }
        let tls = match extensions.get(UPSTREAM).map(String::as_str) {
            None => false,
            Some(TLS) => true,
            Some(_) => return Err(upstream_unknown()),
        };
        let own = extensions.iter().filter(|(name, _)| *name != UPSTREAM);
        let mut labels: Vec<_> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
        labels.sort();
        match labels.iter().any(|(name, _)| is_reserved(name)) {
            true => Err(label_reserved()),
            false => Ok(Self { tls, labels }),
        }
    }
}

/// Names of labels that the gateway gives itself, and may give one day.
fn is_reserved(name: &str) -> bool {
    name.starts_with("pinfold-") || matches!(name, "listener" | "kind")
}

fn of_http(attributes: &wire::Attributes) -> Option<&wire::HttpRequest> {
    attributes.request.as_ref()?.http.as_ref()
}

/// A header field, from either of the two forms in which Envoy sends them; none when it is too long to be looked at.
fn field(http: &wire::HttpRequest, name: &str, most: usize) -> Option<String> {
    let raw = || {
        let mut fields = http.header_map.iter().flat_map(|map| &map.headers);
        let field = fields.find(|field| field.key == name)?;
        std::str::from_utf8(&field.raw_value).ok()
    };
    let value = http.headers.get(name).map(String::as_str).or_else(raw)?;
    (value.len() <= most).then(|| value.to_owned())
}

/// What Envoy will speak to the server, which its route says; what the client wrote has to fit. An `https` URL would
/// otherwise be sent in clear text. Over TLS whatever a client wrote is safe.
fn scheme(written: &str, tls: bool) -> Result<Scheme, Refusal> {
    match (tls, written) {
        (false, "http") => Ok(Scheme::Http),
        (true, "http" | "https") => Ok(Scheme::Https),
        (false, "https") => Err(scheme_differs()),
        _ => Err(scheme_unsupported()),
    }
}

/// One authority and nothing else. Envoy joins several `Host` fields by a comma.
fn authority(host: &str) -> Result<&str, Refusal> {
    let odd = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(
                c,
                '@' | '/' | '?' | '#' | ',' | '\\' | '%' | '"' | '<' | '>'
            )
    };
    // UTF-8 is for URLs: whoever gets the field may read its bytes otherwise.
    match host.is_empty() || !host.is_ascii() || host.contains(odd) {
        true => Err(host_malformed()),
        false => Ok(host),
    }
}

/// In origin form; `OPTIONS *` is about the server as a whole.
fn path(path: &str) -> Result<&str, Refusal> {
    match path {
        "*" => return Ok("/"),
        path if !path.starts_with('/') => return Err(path_malformed()),
        // A fragment is never sent: whoever reads this cuts it off, or does not.
        path if path.contains('#') => return Err(path_malformed()),
        _ => {}
    }
    let end = path.find('?').unwrap_or(path.len());
    let (segments, _) = path.split_at(end);
    match is_dotted(segments) {
        true => Err(path_dotted()),
        false => Ok(path),
    }
}

/// Whether it holds `.` or `..`, which URLs resolve and servers may: also where one decodes first, takes a backslash for a
/// slash, or cuts parameters off (`..;x`).
fn is_dotted(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    let path = path
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace("%3b", ";");
    let mut segments = path.split(['/', '\\']);
    segments.any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// A name as it may stand in a hello: ASCII, and a DNS name.
fn server_name(name: &str) -> Option<Domain> {
    let fit = name.is_ascii() && name.len() <= LONGEST_NAME;
    Domain::parse(fit.then_some(name)?).ok()
}

fn address(peer: &wire::Peer) -> Option<SocketAddr> {
    let address = peer.address.as_ref()?.socket_address.as_ref()?;
    let port = u16::try_from(address.port_value).ok()?;
    Some(SocketAddr::new(address.address.parse().ok()?, port))
}

fn refusal(kind: Kind, code: &'static str, hint: &'static str) -> Refusal {
    Refusal::new(kind, "request", code).hint(hint)
}

fn host_malformed() -> Refusal {
    let hint = "name one host in the request, and nothing else";
    refusal(Kind::Malformed, "host-malformed", hint)
}

fn connect_authority() -> Refusal {
    let hint = "`CONNECT` takes `host:port`, with IPv6 in brackets";
    refusal(Kind::Malformed, "connect-authority", hint)
}

fn path_malformed() -> Refusal {
    let hint = "the path begins with `/`, and has no fragment";
    refusal(Kind::Malformed, "path-malformed", hint)
}

fn path_dotted() -> Refusal {
    let hint =
        "take `.` and `..` out of the path; an operator can have Envoy do it (`normalize_path`)";
    refusal(Kind::Malformed, "path-dotted", hint)
}

fn scheme_differs() -> Refusal {
    let hint = "an `https` URL would be sent in clear text: use `http`, or `CONNECT`; an operator can route it to TLS";
    refusal(Kind::Denied, "scheme-differs", hint)
}

fn scheme_unsupported() -> Refusal {
    let code = Reason::SchemeUnsupported.code();
    refusal(Kind::Malformed, code, "use `http`, or `CONNECT`")
}

fn label_reserved() -> Refusal {
    let hint = "a route of Envoy has a context extension with a name that is reserved: see the guide for Envoy";
    refusal(Kind::Denied, "label-reserved", hint)
}

fn oversized() -> Refusal {
    let reason = Reason::RequestOversized;
    Refusal::new(Kind::Denied, reason.stage().as_str(), reason.code()).hint(reason.hint())
}

fn upstream_unknown() -> Refusal {
    let hint =
        "a route of Envoy has another `pinfold-upstream` than `tls`: see the guide for Envoy";
    refusal(Kind::Denied, "upstream-unknown", hint)
}

fn sni_missing() -> Refusal {
    let hint = "connect by TLS, with a server name";
    refusal(Kind::Denied, "sni-missing", hint)
}

fn sni_unreadable() -> Refusal {
    let hint = "the server name of TLS is a DNS name, not an address";
    refusal(Kind::Malformed, "sni-unreadable", hint)
}

const CONNECT: &str = "CONNECT";
/// Context extensions of a route. A guard takes fewer labels than this.
const MOST_EXTENSIONS: usize = 64;
/// Bytes of an `accept` that is looked at.
const ACCEPT: usize = 4 << 10;
/// Bytes of a server name, a root dot included.
const LONGEST_NAME: usize = Domain::MAX_LEN + 1;
/// Bytes of what an operator sees of a request that was refused.
const DESCRIPTION: usize = 300;

#[cfg(test)]
pub(super) mod tests;
