//! What an Envoy asks, read strictly: one authority or server name, a scheme that fits what Envoy will speak.

use std::net::SocketAddr;

use pinfold_addr::{Domain, Scheme, Target};

use super::{TLS, UPSTREAM, wire};
use crate::{
    client::Correlation,
    egress,
    event::Exchange,
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
        let http = http(attributes);
        let field = |name: &str| http.and_then(|http| http.headers.get(name).cloned());
        let source = attributes.source.as_ref();
        Self {
            principal: source
                .map(|peer| peer.principal.clone())
                .unwrap_or_default(),
            address: source.and_then(address),
            correlation: http.and_then(|http| Correlation::of(&http.id)),
            traceparent: field("traceparent"),
            accept: field("accept"),
        }
    }
}

impl Question {
    pub(super) fn read(attributes: &wire::Attributes, tls_port: u16) -> Result<Self, Refusal> {
        match http(attributes) {
            Some(http) => Self::of_http(http, attributes),
            None => Self::of_tls(attributes, tls_port),
        }
    }

    fn of_http(http: &wire::HttpRequest, attributes: &wire::Attributes) -> Result<Self, Refusal> {
        let (kind, target) = match http.method.as_str() {
            "CONNECT" => (Exchange::Connect, tunnel(&http.host)?),
            _ => (Exchange::Forward, request(http, attributes)?),
        };
        Ok(Self {
            kind,
            target,
            method: Some(http.method.clone()),
            labels: labels(attributes)?,
        })
    }

    fn of_tls(attributes: &wire::Attributes, port: u16) -> Result<Self, Refusal> {
        let session = attributes.tls_session.as_ref();
        let name = session
            .map(|session| session.sni.as_str())
            .filter(|name| !name.is_empty());
        let name = name.ok_or_else(sni_missing)?;
        // A server name is a DNS name, never an address (RFC 6066, 3).
        let name = Domain::parse(name).map_err(|refusal| Refusal::from_parse(&refusal))?;
        let authority = format!("{}:{port}", name.as_str());
        let target = Target::from_authority(Scheme::Https, &authority);
        Ok(Self {
            kind: Exchange::Sni,
            target: target.map_err(|refusal| Refusal::from_parse(&refusal))?,
            method: None,
            labels: labels(attributes)?,
        })
    }
}

fn http(attributes: &wire::Attributes) -> Option<&wire::HttpRequest> {
    attributes.request.as_ref()?.http.as_ref()
}

fn tunnel(authority: &str) -> Result<Target, Refusal> {
    egress::tunnel_target(authority).map_err(|refusal| Refusal::from_parse(&refusal))
}

/// Of a request: the scheme is what Envoy will speak to the server, which its route says; what the client wrote has to
/// fit. An `https` URL would otherwise be sent in clear text.
fn request(http: &wire::HttpRequest, attributes: &wire::Attributes) -> Result<Target, Refusal> {
    let upstream = attributes.context_extensions.get(UPSTREAM);
    let scheme = match (upstream.map(String::as_str), http.scheme.as_str()) {
        (None, "http") => Scheme::Http,
        (None, _) => return Err(scheme_differs()),
        (Some(TLS), "http" | "https") => Scheme::Https,
        (Some(_), _) => return Err(label_unknown()),
    };
    let host = authority(&http.host)?;
    let target = Target::parse(&format!("{scheme}://{host}{}", path(&http.path)?));
    target.map_err(|refusal| Refusal::from_parse(&refusal))
}

/// One authority and nothing else. Envoy joins several `Host` fields by a comma.
fn authority(host: &str) -> Result<&str, Refusal> {
    let odd = |c: char| c.is_whitespace() || matches!(c, '@' | '/' | '?' | '#' | ',' | '\\');
    match host.is_empty() || host.contains(odd) {
        true => Err(host_malformed()),
        false => Ok(host),
    }
}

/// In origin form; `OPTIONS *` is about the server as a whole.
fn path(path: &str) -> Result<&str, Refusal> {
    match path {
        "" | "*" => Ok("/"),
        path if path.starts_with('/') => Ok(path),
        _ => Err(host_malformed()),
    }
}

/// What the route of Envoy says, for the policy.
fn labels(attributes: &wire::Attributes) -> Result<Vec<(String, String)>, Refusal> {
    let given = attributes.context_extensions.iter();
    let mut labels: Vec<_> = given
        .filter(|(name, _)| *name != UPSTREAM)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    labels.sort();
    let ours = |name: &str| name.starts_with("pinfold-") || matches!(name, "listener" | "kind");
    match labels.iter().any(|(name, _)| ours(name)) {
        true => Err(label_unknown()),
        false => Ok(labels),
    }
}

fn address(peer: &wire::Peer) -> Option<SocketAddr> {
    let address = peer.address.as_ref()?.socket_address.as_ref()?;
    let port = u16::try_from(address.port_value).ok()?;
    Some(SocketAddr::new(address.address.parse().ok()?, port))
}

fn refusal(kind: Kind, code: &'static str) -> Refusal {
    Refusal::new(kind, "request", code)
}

fn host_malformed() -> Refusal {
    refusal(Kind::Malformed, "host-malformed")
        .hint("name one host in the request, and nothing else")
}

fn scheme_differs() -> Refusal {
    refusal(Kind::Denied, "scheme-differs")
        .hint("an `https` URL would be sent in clear text: use `http`, or `CONNECT`; an operator can route it to TLS")
}

fn label_unknown() -> Refusal {
    refusal(Kind::Denied, "label-reserved")
        .hint("a route of Envoy has a context extension with a name that is reserved: see the guide for Envoy")
}

fn sni_missing() -> Refusal {
    refusal(Kind::Denied, "sni-missing").hint("connect by TLS, with a server name")
}
