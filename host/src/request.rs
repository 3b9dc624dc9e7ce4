//! What is asked, and the terms of an allowed answer.

use std::time::Duration;

use pinfold_addr::Target;
use serde::Serializer;

/// One hop of one request.
///
/// ```
/// use pinfold::{Request, addr::Target};
///
/// let request = Request::new(Target::parse("https://example.com/feed")?)
///     .method("GET")
///     .subject("tenant-7")
///     .label("feature", "preview");
/// let next = request.redirected(request.target().join("/elsewhere")?, "GET");
/// assert_eq!(next.hop(), 1);
/// # Ok::<(), pinfold::addr::Refusal>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    pub(crate) target: Target,
    pub(crate) method: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) hop: u8,
    pub(crate) previous: Option<Target>,
}

impl Request {
    /// A first hop to this target.
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

    /// Sets the HTTP method, in upper case. Leave it out for a bare connection.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Sets who asks, as authenticated by the caller: the policy may have rules for each subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Adds a label: what the caller wants the policy to know (tenant, feature, route).
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// The next hop after this one: a redirect to `target`. Subject and labels stay.
    #[must_use]
    pub fn redirected(&self, target: Target, method: impl Into<String>) -> Self {
        Self {
            target,
            method: Some(method.into()),
            subject: self.subject.clone(),
            labels: self.labels.clone(),
            hop: self.hop.saturating_add(1),
            previous: Some(self.target.clone()),
        }
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// 0 for the first request, 1 for the first redirect, and so on.
    pub fn hop(&self) -> u8 {
        self.hop
    }
}

/// What an allowed request must obey; `None` means the limit of whoever performs the exchange.
///
/// As JSON: `{"connect_timeout_ms", "total_timeout_ms", "response_bytes", "redirects", "https_only"}`,
/// what is `None` left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Terms {
    /// For all connection attempts together.
    #[serde(
        rename = "connect_timeout_ms",
        serialize_with = "millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub connect_timeout: Option<Duration>,
    /// For the whole exchange, redirects and body included.
    #[serde(
        rename = "total_timeout_ms",
        serialize_with = "millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub total_timeout: Option<Duration>,
    /// Bytes of response body, as received and again as decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// Redirects to follow at most, counted from the first request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirects: Option<u8>,
    /// Only TLS from here on.
    pub https_only: bool,
}

impl Terms {
    /// The stricter of both, field by field. Terms are only ever tightened: by the limits of the host,
    /// and by each hop for those that follow it.
    #[must_use]
    pub fn tightened(self, other: Self) -> Self {
        Self {
            connect_timeout: smaller(self.connect_timeout, other.connect_timeout),
            total_timeout: smaller(self.total_timeout, other.total_timeout),
            response_bytes: smaller(self.response_bytes, other.response_bytes),
            redirects: smaller(self.redirects, other.redirects),
            https_only: self.https_only || other.https_only,
        }
    }
}

/// The smaller of two bounds, where none means unbounded.
fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_only_tighten() {
        let loose = Terms {
            redirects: Some(9),
            response_bytes: Some(10),
            ..Terms::default()
        };
        let strict = Terms {
            connect_timeout: Some(Duration::from_secs(1)),
            redirects: Some(2),
            https_only: true,
            ..Terms::default()
        };
        let both = Terms {
            connect_timeout: Some(Duration::from_secs(1)),
            response_bytes: Some(10),
            redirects: Some(2),
            https_only: true,
            ..Terms::default()
        };
        assert_eq!(loose.tightened(strict), both);
        assert_eq!(strict.tightened(loose), both);
        assert_eq!(both.tightened(Terms::default()), both);
    }

    #[test]
    fn terms_as_json() {
        let terms = Terms {
            total_timeout: Some(Duration::from_millis(1500)),
            ..Terms::default()
        };
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(json, r#"{"total_timeout_ms":1500,"https_only":false}"#);
    }
}
