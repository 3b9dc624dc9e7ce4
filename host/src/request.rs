//! What is asked, and the terms of an allowed answer.

use std::time::Duration;

use pinfold_addr::Target;

/// One hop of one request.
#[derive(Clone, Debug)]
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
        Self { target, method: None, subject: None, labels: Vec::new(), hop: 0, previous: None }
    }

    /// Sets the HTTP method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Sets who asks, as authenticated by the caller.
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
}

/// What an allowed request must obey; `None` means the limit of whoever performs the exchange.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Terms {
    /// For all connection attempts together.
    pub connect_timeout: Option<Duration>,
    /// For the whole exchange, redirects and body included.
    pub total_timeout: Option<Duration>,
    /// Bytes of response body, as received and again as decoded.
    pub response_bytes: Option<u64>,
    /// Redirects to follow at most.
    pub redirects: Option<u8>,
    /// Only TLS from here on.
    pub https_only: bool,
}
