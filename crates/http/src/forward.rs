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
        todo!("forward")
    }

    /// Judges `what` in `session`, and sends `request` (in origin form) to the server.
    ///
    /// # Errors
    ///
    /// Denied, or failed; a request of which nothing was answered may have been sent.
    pub async fn send(
        &self,
        _session: &Session,
        _what: pinfold::Request,
        _request: Request<Body>,
    ) -> Result<Forwarded, Error> {
        todo!("forward")
    }
}
