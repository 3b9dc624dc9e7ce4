//! From a request to a response: one session of the guard, hop by hop.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri, Version,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, RANGE, TRANSFER_ENCODING,
        USER_AGENT,
    },
    response::Parts,
    uri::PathAndQuery,
};
use hyper::body::Incoming;
use pinfold::{Denial, Pinned, Session};
use pinfold_addr::{Reason, Scheme, Target};
use tokio::time::timeout;

use crate::{
    Body, Client, Error, FailedRedirect, Hop, Response, ResponseBody, binding,
    body::Wire,
    client::Shared,
    deadline::Deadline,
    decode::{self, Coding},
    limits::{DRAIN_BYTES, DRAIN_TIME},
    link::{Failure, Link},
    redirect,
    request::Call,
};

/// Performs a call. All hops are judged under one snapshot of the policy.
pub(crate) async fn run(client: &Client, call: Call) -> Result<Response, Error> {
    let shared = client.shared();
    let session = shared.guard.session();
    let mut exchange = Exchange::new(shared, call);
    loop {
        let answer = exchange
            .hop(&session)
            .await
            .map_err(|error| exchange.arriving(error))?;
        if !exchange.redirected(&answer) {
            return exchange.finish(answer);
        }
        exchange
            .turn(&answer)
            .map_err(|error| exchange.departing(error))?;
        exchange.drain(answer).await?;
    }
}

/// A call under way.
struct Exchange<'a> {
    shared: &'a Shared,
    request: pinfold::Request,
    method: Method,
    /// The caller's, less what redirects took away.
    headers: HeaderMap,
    body: Body,
    /// Whether coded bodies are decoded. Not when the caller negotiates codings or ranges itself.
    decode: bool,
    deadline: Deadline,
    bounds: Bounds,
    hops: Vec<Hop>,
}

/// What bounds the rest of the call, beside the deadline.
struct Bounds {
    response_bytes: u64,
    redirects: u8,
}

/// The head of a response, and the connection its body comes over.
struct Answer {
    head: Parts,
    incoming: Incoming,
    link: Box<Link>,
}

impl<'a> Exchange<'a> {
    fn new(shared: &'a Shared, call: Call) -> Self {
        let limits = &shared.limits;
        let decode = shared.decode
            && !call.headers.contains_key(ACCEPT_ENCODING)
            && !call.headers.contains_key(RANGE);
        let bounds = Bounds {
            response_bytes: smaller(limits.response_bytes, call.response_bytes),
            redirects: smaller(limits.redirects, call.redirects),
        };
        Self {
            shared,
            request: call.request,
            method: call.method,
            headers: call.headers,
            body: call.body,
            decode,
            deadline: Deadline::after(smaller(limits.total, call.total)),
            bounds,
            hops: Vec::with_capacity(1),
        }
    }

    /// One hop: judged, pinned, sent.
    async fn hop(&mut self, session: &Session) -> Result<Answer, Error> {
        speaks_http(self.request.target().scheme())?;
        let pinned = self.pin(session).await?;
        let (answer, hop) = match self.shared.pool.take(&pinned, None) {
            Some(link) => self.reuse(session, pinned, link).await?,
            None => {
                let request = self.http_request()?;
                self.dial(pinned, request).await?
            }
        };
        if hop.status.is_informational() {
            return Err(invalid(
                "the server switched protocols, which was not asked for",
            ));
        }
        self.hops.push(hop);
        Ok(answer)
    }

    async fn pin(&mut self, session: &Session) -> Result<Pinned, Error> {
        let pinned = self
            .deadline
            .bound(pin!(session.pin(self.request.clone())))
            .await??;
        let terms = pinned.terms();
        if let Some(total) = terms.total_timeout {
            self.deadline.tighten(total);
        }
        self.bounds.response_bytes = smaller(self.bounds.response_bytes, terms.response_bytes);
        Ok(pinned)
    }

    /// Sends the request over a kept connection. When the server closed that one meanwhile, the hop is
    /// judged again (a pin is good for one connection) and goes over a new one.
    async fn reuse(
        &mut self,
        session: &Session,
        pinned: Pinned,
        mut link: Box<Link>,
    ) -> Result<(Answer, Hop), Error> {
        let request = self.http_request()?;
        let mut hop = self.describe(&pinned, link.purpose.peer);
        hop.reused = true;
        pinned.reused(link.purpose.peer)?;
        let sent = self.deadline.bound(pin!(link.send(request))).await?;
        match sent {
            Ok(response) => Ok(Answer::new(response, link, hop)),
            Err(failure) => {
                drop(link);
                let request = self.once_more(failure)?;
                let pinned = self.pin(session).await?;
                self.dial(pinned, request).await
            }
        }
    }

    /// Opens a connection and sends the request over it.
    async fn dial(
        &mut self,
        pinned: Pinned,
        request: http::Request<Body>,
    ) -> Result<(Answer, Hop), Error> {
        let template = self.describe(&pinned, UNDIALED);
        let shared = self.shared;
        let opened = self
            .deadline
            .bound(pin!(shared.dialer.open(pinned)))
            .await??;
        let mut link = opened.link;
        let sent = self.deadline.bound(pin!(link.send(request))).await?;
        let response = sent.map_err(|failure| failure.error)?;
        let hop = Hop {
            peer: link.purpose.peer,
            ..template
        };
        Ok(Answer::new(response, link, hop))
    }

    /// The request to send again, when that cannot do twice what was asked for once: nothing of it
    /// was sent, or it is idempotent (RFC 9110, 9.2.2), can be repeated, and got not a byte back.
    fn once_more(&mut self, failure: Failure) -> Result<http::Request<Body>, Error> {
        match failure.unsent {
            Some(request) => Ok(request),
            None if failure.silent && self.method.is_idempotent() && self.body.is_replayable() => {
                self.http_request()
            }
            None => Err(failure.error),
        }
    }

    fn http_request(&mut self) -> Result<http::Request<Body>, Error> {
        let target = self.request.target();
        let path = PathAndQuery::try_from(target.path_and_query()).map_err(unsendable)?;
        let headers = self.all_headers()?;
        let mut request = http::Request::new(self.body.take());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// What is sent with this hop: the client's own headers, and the caller's in place of a default.
    fn all_headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + OWN_HEADERS);
        let authority = self.request.target().authority();
        // First, as RFC 9110, 7.2 wants it.
        headers.insert(HOST, HeaderValue::try_from(authority).map_err(unsendable)?);
        headers.insert(USER_AGENT, self.shared.user_agent.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if self.decode {
            headers.insert(ACCEPT_ENCODING, decode::ACCEPTED);
        }
        // Said for the methods that give content a meaning (RFC 9110, 8.6); else some servers wait.
        if self.body.is_empty() && CONTENT_METHODS.contains(&self.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if !self.headers.is_empty() {
            headers.extend(self.headers.clone());
        }
        Ok(headers)
    }

    /// The record of this hop, the status yet to come.
    fn describe(&self, pinned: &Pinned, peer: SocketAddr) -> Hop {
        Hop {
            target: pinned.target().clone(),
            method: self.method.clone(),
            status: StatusCode::default(),
            peer,
            reused: false,
            generation: pinned.generation(),
            decision: pinned.decision_id(),
        }
    }

    /// Whether this response sends the call elsewhere.
    fn redirected(&self, answer: &Answer) -> bool {
        self.bounds.redirects > 0 && redirect::is_redirect(answer.head.status, &answer.head.headers)
    }

    /// Turns the call towards where a redirect points. Nothing goes there before it is judged.
    fn turn(&mut self, answer: &Answer) -> Result<(), Error> {
        if self.hops.len() > usize::from(self.bounds.redirects) {
            let detail = format!("more than {} redirects", self.bounds.redirects);
            return Err(Error::exchange(Reason::RedirectTooMany, detail));
        }
        let from = self.request.target();
        let next = redirect::read(answer.head.status, &answer.head.headers, &self.method, from)?;
        if next.keeps_body {
            self.can_send_again(&next.target)?;
        } else {
            self.body = Body::empty();
        }
        redirect::strip(&mut self.headers, from, &next.target, next.keeps_body);
        self.request = self.request.redirected(next.target, next.method.as_str());
        self.method = next.method;
        Ok(())
    }

    fn can_send_again(&self, to: &Target) -> Result<(), Error> {
        let refused = |detail: &str| Err(Error::exchange(Reason::RedirectBody, detail));
        if self.body.is_empty() {
            Ok(())
        } else if !self.body.is_replayable() {
            refused("the body was a stream, which cannot be sent again")
        } else if redirect::is_downgrade(self.request.target(), to) {
            refused("the body was given for `https` and is not sent in the clear")
        } else {
            Ok(())
        }
    }

    /// Reads a small rest, so that the connection can be kept; else it is closed and the call goes on.
    async fn drain(&mut self, answer: Answer) -> Result<(), Error> {
        let (_, Ok(mut wire)) = answer.into_wire(self.shared, DRAIN_BYTES) else {
            return Ok(());
        };
        if wire.has_finished() {
            return Ok(());
        }
        let rest = async { while let Some(Ok(_)) = poll_fn(|cx| wire.poll_chunk(cx)).await {} };
        self.deadline
            .bound(pin!(timeout(DRAIN_TIME, rest)))
            .await
            .map(|_done_or_late| ())
    }

    /// An error of a redirect that could not be followed.
    fn departing(&self, error: Error) -> Error {
        error.in_redirect(FailedRedirect::after(&self.hops, None))
    }

    /// An error of the request, or of its response, that a redirect led to, if one did.
    fn arriving(&self, error: Error) -> Error {
        let before = self.hops.get(..usize::from(self.request.hop()));
        let to = self.request.target();
        error.in_redirect(FailedRedirect::after(
            before.unwrap_or(&self.hops),
            Some(to),
        ))
    }

    /// The last response of the call.
    fn finish(self, answer: Answer) -> Result<Response, Error> {
        let (head, wire) = answer.into_wire(self.shared, self.bounds.response_bytes);
        let wire = wire.map_err(|error| self.arriving(error))?;
        let coding = match self.decode && !wire.has_finished() {
            true => Coding::of(&head.headers).map_err(|error| self.arriving(error))?,
            false => None,
        };
        let Parts {
            status,
            mut headers,
            ..
        } = head;
        if coding.is_some() {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        let body = ResponseBody::new(wire, coding, self.deadline);
        Ok(Response {
            status,
            headers,
            hops: self.hops,
            body,
            request: self.request,
        })
    }
}

impl Answer {
    fn new(response: http::Response<Incoming>, link: Box<Link>, hop: Hop) -> (Self, Hop) {
        let (head, incoming) = response.into_parts();
        let hop = Hop {
            status: head.status,
            ..hop
        };
        (
            Self {
                head,
                incoming,
                link,
            },
            hop,
        )
    }

    fn into_wire(self, shared: &Shared, budget: u64) -> (Parts, Result<Wire, Error>) {
        // With both framings, another reader may see another end (RFC 9112, 6.3): what follows on this
        // connection is not trusted to be the next response.
        let ambiguous = self.head.headers.contains_key(TRANSFER_ENCODING)
            && self.head.headers.contains_key(CONTENT_LENGTH);
        // To a server of HTTP/1.0 hyper would send a later body of unknown length without a word as none.
        let modern = self.head.version == Version::HTTP_11;
        let keep =
            !ambiguous && modern && !self.link.is_bound() && !binding::asked(&self.head.headers);
        let wire = Wire::new(self.incoming, self.link, shared.pool.clone(), keep, budget);
        (self.head, wire)
    }
}

/// A guard also judges `ws`, `wss` and `ftp`, which are not HTTP.
pub(crate) fn speaks_http(scheme: Scheme) -> Result<(), Error> {
    match scheme {
        Scheme::Http | Scheme::Https => Ok(()),
        other => Err(Error::denied(Denial::new(
            Reason::SchemeUnsupported,
            format!("`{}` is not HTTP", other.as_str()),
        ))),
    }
}

fn smaller<T: Ord>(limit: T, own: Option<T>) -> T {
    match own {
        Some(own) => own.min(limit),
        None => limit,
    }
}

/// A target that cannot stand in a request. The parser of targets lets none through.
pub(crate) fn unsendable(problem: impl std::fmt::Display) -> Error {
    Error::denied(Denial::new(
        Reason::UrlInvalid,
        format!("cannot be sent: {problem}"),
    ))
}

pub(crate) fn invalid(detail: &str) -> Error {
    Error::exchange(Reason::ResponseInvalid, detail)
}

/// The headers of [`Exchange::all_headers`] that are not the caller's, at most.
const OWN_HEADERS: usize = 5;

/// Methods that send content as a rule.
pub(crate) const CONTENT_METHODS: [Method; 3] = [Method::PATCH, Method::POST, Method::PUT];

/// Stands for a peer until there is one.
const UNDIALED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
