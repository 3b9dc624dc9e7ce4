//! One hop for somebody else: a request of a client of ours goes to the server it names, and its answer comes back as
//! it is. For proxies: no redirects, no decoding, no headers of our own.

mod body;
mod head;
mod hop;
mod stream;
mod upload;

use std::{sync::Arc, time::Duration};

use http::Request;
use pinfold::{Decision, Guard, Held, Session};

use crate::{Body, Error, Limits, TlsRoots, dial::Dialer, link::Parser, pool::Pool};

pub use body::ForwardedBody;
use hop::Hop;
pub use stream::UpgradedStream;

/// Sends single requests over judged connections, kept ones where that is possible. Cheap to clone; clones share the
/// kept connections.
///
/// # Example
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use pinfold::{Guard, addr::Target};
/// use pinfold_http::{Body, Forwarder, Limits, TlsRoots};
///
/// let guard = Guard::new()?;
/// let forwarder = Forwarder::new(&guard, Limits::default(), &TlsRoots::default());
///
/// // What a client of ours asked for: `GET http://feed.example/today`.
/// let request = http::Request::get("/today").body(Body::empty())?;
/// let what = pinfold::Request::new(Target::parse("http://feed.example/today")?).method("GET");
/// let on_open = |decision: &_, _: &pinfold::Held| println!("{decision:?}");
/// let sent = forwarder.send(&guard.session(), what, request, on_open).await?;
/// println!("{}", sent.response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Forwarder {
    shared: Arc<Shared>,
    patience: Duration,
    partition: Option<Arc<str>>,
}

/// What all exchanges of a forwarder share.
#[derive(Debug)]
struct Shared {
    dialer: Dialer,
    pool: Pool,
}

/// An answer, as the server gave it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Forwarded {
    /// Status and headers as they came, the body as it comes.
    pub response: http::Response<ForwardedBody>,
    /// The record of the hop, as the observer got it.
    pub decision: Arc<Decision>,
    /// What the connection was opened for, so that it can be judged again.
    pub held: Held,
}

/// What a server says to a request with `Upgrade`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Upgrade {
    /// `101`: from here on the bytes are another protocol's.
    Switched(Box<Switched>),
    /// Any other answer.
    Declined(Box<Forwarded>),
}

/// A connection that speaks another protocol now.
#[derive(Debug)]
#[non_exhaustive]
pub struct Switched {
    /// The answer, `101`, with its headers.
    pub response: http::Response<()>,
    /// The connection. What the server sent after its answer comes first.
    pub stream: UpgradedStream,
    /// The record of the hop, as the observer got it. Its terms bind the connection.
    pub decision: Arc<Decision>,
    /// What the connection was opened for, so that it can be judged again.
    pub held: Held,
}

impl Forwarder {
    /// Connections of `guard`. Of the limits, `total`, `response_bytes` and `redirects` do not apply: only the terms of
    /// the policy bound how long an exchange takes and how much it brings.
    pub fn new(guard: &Guard, limits: Limits, roots: &TlsRoots) -> Self {
        let shared = Shared {
            dialer: Dialer::new(guard, roots, Parser::verbatim(&limits)),
            pool: Pool::new(&limits, guard.generation()),
        };
        Self {
            shared: Arc::new(shared),
            patience: PATIENCE,
            partition: None,
        }
    }

    /// How many connections are kept for the next request.
    pub fn kept(&self) -> usize {
        self.shared.pool.len()
    }

    /// The same, with another patience: for the head of a response after the last piece of the request, and for each
    /// piece of its body after that. Default: 60 s.
    #[must_use]
    pub fn patience(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// The same, for one of several on whose behalf requests are sent: connections that are kept for one of them never
    /// serve another. A server may know a client by its connection, and takes what comes over it for the same one's.
    #[must_use]
    pub fn partition(&self, whose: impl Into<Arc<str>>) -> Self {
        Self {
            partition: Some(whose.into()),
            ..self.clone()
        }
    }

    /// Judges `what` in `session`, and sends `request` to the server.
    ///
    /// Path, query and `Host` are those of the judged target, whatever the request says; the framing is that of the body.
    /// All other headers go as they are: what concerns one connection alone (RFC 9110, 7.6.1) the caller has removed.
    /// With `Expect: 100-continue` the body waits until the server asks for it, for a second at most. Other interim
    /// responses (1xx) are not handed on.
    ///
    /// A connection on which an authentication that binds the connection was asked for or tried (NTLM, Negotiate) serves
    /// no other request: for a server of that kind, whatever comes over it is of who authenticated. So the handshake of
    /// NTLM, which takes several requests on one connection, does not succeed; it needs a tunnel.
    ///
    /// `on_open` is told the record of the hop, and what its connection was opened for, before anything is sent: an
    /// upload can take long, and must be listed and revocable meanwhile. It is told once more when a kept connection
    /// turned out to be closed, and the request goes over a new one; what was told last holds.
    ///
    /// # Errors
    ///
    /// Denied, or failed; a request of which nothing was answered may have been sent. [`Error::Caller`] when the body
    /// of the request failed, [`Error::Stalled`] when it did not go on.
    pub async fn send(
        &self,
        session: &Session,
        what: pinfold::Request,
        request: Request<Body>,
        on_open: impl FnMut(&Arc<Decision>, &Held) + Send,
    ) -> Result<Forwarded, Error> {
        let (mut hop, request) = Hop::new(self, session, what, request, on_open)?;
        // Boxed: it takes several KiB, and would be copied wherever the caller's own future goes.
        Box::pin(hop.send(request)).await
    }

    /// As [`send`](Self::send), for a request with an `Upgrade` header: over a new connection, which is never kept.
    /// `Connection: upgrade` is added.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and `response-invalid` when the server switches to what was not asked for.
    pub async fn upgrade(
        &self,
        session: &Session,
        what: pinfold::Request,
        mut request: Request<Body>,
        on_open: impl FnMut(&Arc<Decision>, &Held) + Send,
    ) -> Result<Upgrade, Error> {
        let protocols = head::upgrade(request.headers_mut())?;
        let (mut hop, request) = Hop::new(self, session, what, request, on_open)?;
        Box::pin(hop.upgrade(request, &protocols)).await
    }
}

/// The patience of a forwarder that was told none.
const PATIENCE: Duration = Duration::from_secs(60);
