//! How questions of an Envoy are read, for fuzzing.

use prost::Message;

use super::{question::Question, wire::CheckRequest};

/// A question that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Read {
    /// `forward`, `connect` or `sni`.
    pub kind: &'static str,
    /// What is asked for, canonical.
    pub target: String,
    /// Labels of the route, in order.
    pub labels: Vec<(String, String)>,
    /// What Envoy hands on: authority and path, or the server name alone.
    pub handed: (String, String),
}

/// Reads a message; none when it is none.
///
/// # Errors
///
/// The code of the refusal.
pub fn question(bytes: &[u8]) -> Option<Result<Read, String>> {
    let attributes = CheckRequest::decode(bytes)
        .ok()?
        .attributes
        .unwrap_or_default();
    let read = Question::read(&attributes, 443).map_err(|refusal| refusal.code.into_owned());
    let http = attributes.request.and_then(|request| request.http);
    let sni = attributes.tls_session.map(|session| session.sni);
    let handed = match http {
        Some(http) => (http.host, http.path),
        None => (sni.unwrap_or_default(), String::new()),
    };
    Some(read.map(|question| Read {
        kind: crate::egress::kind(question.kind),
        target: question.target.to_string(),
        labels: question.labels,
        handed,
    }))
}
