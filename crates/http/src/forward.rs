//! One hop for somebody else: a request of a client of ours goes to the server it names, and its answer comes back as
//! it is. For proxies: no redirects, no decoding, no headers of our own.

use http::Request;
use pinfold::{Guard, Session};

use crate::{Body, Error, Limits, ResponseBody, TlsRoots};

/// Sends single requests over judged connections, kept ones where that is possible. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Forwarder {}

/// An answer, as the server gave it.
#[derive(Debug)]
pub struct Forwarded {
    /// Status and headers as they came, the body as it comes.
    pub response: http::Response<ResponseBody>,
    /// The record of the hop, as the observer got it.
    pub decision: std::sync::Arc<pinfold::Decision>,
    /// What the connection was opened for, so that it can be judged again.
    pub held: pinfold::Held,
}

impl Forwarder {
    /// Connections of `guard`.
    pub fn new(_guard: &Guard, _limits: Limits, _roots: &TlsRoots) -> Self {
        Self {}
    }

    /// Judges `what` in `session`, and sends `request` (in origin form) to the server.
    ///
    /// `on_open` is told the record of the hop, and what its connection was opened for, before anything is sent: an
    /// upload can take long, and must be listed and revocable meanwhile. It is told once more when a kept connection
    /// turned out to be closed, and the request goes over a new one; what was told last holds.
    ///
    /// # Errors
    ///
    /// Denied, or failed; a request of which nothing was answered may have been sent.
    pub async fn send(
        &self,
        _session: &Session,
        _what: pinfold::Request,
        _request: Request<Body>,
        _on_open: impl FnMut(&std::sync::Arc<pinfold::Decision>, &pinfold::Held) + Send,
    ) -> Result<Forwarded, Error> {
        todo!("forward")
    }
}
