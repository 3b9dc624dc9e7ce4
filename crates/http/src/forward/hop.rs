//! One forwarded request under way.

use std::{pin::pin, sync::Arc, time::Duration};

use http::{Request, StatusCode, Version, response::Parts};
use hyper::body::Incoming;
use pinfold::{Decision, Held, Pinned, Reused, Session};
use pinfold_addr::Reason;
use tokio::time::timeout;

use super::{
    Forwarded, ForwardedBody, Forwarder, Shared, Switched, Upgrade, UpgradedStream, head,
    upload::{Progress, Upload},
};
use crate::{
    Body, Error, binding,
    body::Wire,
    deadline::Deadline,
    dial::Opened,
    exchange::{invalid, speaks_http},
    link::{Failure, Link},
};

/// One forwarded request under way.
pub(super) struct Hop<'a, F> {
    shared: &'a Shared,
    session: &'a Session,
    what: pinfold::Request,
    patience: Duration,
    partition: Option<Arc<str>>,
    /// Only the terms of the policy bound the whole.
    deadline: Deadline,
    response_bytes: u64,
    upload: Progress,
    on_open: F,
}

/// The head of a response, and the connection its body comes over.
struct Answer {
    head: Parts,
    incoming: Incoming,
    link: Box<Link>,
    decision: Arc<Decision>,
    held: Held,
}

impl<'a, F: FnMut(&Arc<Decision>, &Held) + Send> Hop<'a, F> {
    /// The request as it is sent.
    pub(super) fn new(
        forwarder: &'a Forwarder,
        session: &'a Session,
        what: pinfold::Request,
        request: Request<Body>,
        on_open: F,
    ) -> Result<(Self, Request<Body>), Error> {
        speaks_http(what.target().scheme())?;
        let (mut head, body) = request.into_parts();
        let body = match http_body::Body::is_end_stream(&body) {
            true => Body::empty(),
            false => body,
        };
        head::address(&mut head, what.target())?;
        head::frame(&mut head, &body);
        let expects = head::expects(&mut head, &body);
        head.version = Version::HTTP_11;
        let (request, upload) = gated(Request::from_parts(head, body), expects, forwarder.patience);
        let hop = Self {
            shared: &forwarder.shared,
            session,
            what,
            patience: forwarder.patience,
            partition: forwarder.partition.clone(),
            deadline: Deadline::after(Duration::MAX),
            response_bytes: u64::MAX,
            upload,
            on_open,
        };
        Ok((hop, request))
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Forwarded, Error> {
        let pinned = self.pin().await?;
        let answer = match self.shared.pool.take(&pinned, self.partition.as_deref()) {
            Some(link) => self.reuse(pinned, link, request).await?,
            None => self.dial(pinned, request).await?,
        };
        if answer.head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(invalid(
                "the server switched protocols, which was not asked for",
            ));
        }
        self.finish(answer, true)
    }

    pub(super) async fn upgrade(
        &mut self,
        request: Request<Body>,
        protocols: &[String],
    ) -> Result<Upgrade, Error> {
        let pinned = self.pin().await?;
        let answer = self.dial(pinned, request).await?;
        if answer.head.status != StatusCode::SWITCHING_PROTOCOLS {
            let declined = self.finish(answer, false)?;
            return Ok(Upgrade::Declined(Box::new(declined)));
        }
        head::switches(&answer.head.headers, protocols)?;
        let switched = self.switch(answer).await?;
        Ok(Upgrade::Switched(Box::new(switched)))
    }

    async fn pin(&mut self) -> Result<Pinned, Error> {
        let pinning = self.session.pin(self.what.clone());
        let pinned = self.deadline.bound(pin!(pinning)).await??;
        let terms = pinned.terms();
        if let Some(total) = terms.total_timeout {
            self.deadline.tighten(total);
        }
        if let Some(bytes) = terms.response_bytes {
            self.response_bytes = bytes;
        }
        Ok(pinned)
    }

    /// Sends the request over a kept connection. When the server closed that one meanwhile, the hop is judged again (a
    /// pin is good for one connection) and goes over a new one.
    async fn reuse(
        &mut self,
        pinned: Pinned,
        mut link: Box<Link>,
        request: Request<Body>,
    ) -> Result<Answer, Error> {
        let Reused { decision, held, .. } = pinned.reused(link.purpose.peer)?;
        (self.on_open)(&decision, &held);
        let spare = spare(&request);
        match self.exchange(&mut link, request).await? {
            Ok(response) => Ok(Answer::new(response, link, decision, held)),
            Err(failure) => {
                drop(link);
                let request = once_more(failure, spare)?;
                let pinned = self.pin().await?;
                self.dial(pinned, request).await
            }
        }
    }

    /// Opens a connection and sends the request over it.
    async fn dial(&mut self, pinned: Pinned, request: Request<Body>) -> Result<Answer, Error> {
        let opening = timeout(self.patience, self.shared.dialer.open(pinned));
        let opened = self.deadline.bound(pin!(opening)).await?;
        let opened = opened.map_err(|_| late("no connection", self.patience))?;
        let Opened {
            mut link,
            decision,
            held,
        } = opened?;
        link.purpose.partition.clone_from(&self.partition);
        (self.on_open)(&decision, &held);
        let response = self.exchange(&mut link, request).await?;
        let response = response.map_err(|failure| failure.error)?;
        Ok(Answer::new(response, link, decision, held))
    }

    /// From a request to the head of its response. The clock stands still while the request moves.
    async fn exchange(
        &mut self,
        link: &mut Link,
        request: Request<Body>,
    ) -> Result<Result<http::Response<Incoming>, Failure>, Error> {
        let mut sending = pin!(link.send(request));
        loop {
            let waiting = timeout(self.patience, &mut sending);
            match self.deadline.bound(pin!(waiting)).await? {
                Ok(sent) => return Ok(sent),
                Err(_) if self.upload.goes_on() => {}
                Err(_) => return Err(late("no response", self.patience)),
            }
        }
    }

    /// The answer, and its body to be read.
    fn finish(&mut self, answer: Answer, keep: bool) -> Result<Forwarded, Error> {
        let Answer {
            mut head,
            incoming,
            link,
            decision,
            held,
        } = answer;
        if let Some(gate) = self.upload.gate() {
            gate.answered();
            if head::refuses(&head) {
                gate.stop();
            }
        }
        let bound = link.is_bound() || binding::asked(&head.headers);
        let keep = head::receive(&mut head)? && keep && !bound;
        let pool = self.shared.pool.clone();
        let wire = Wire::new(incoming, link, pool, keep, self.response_bytes)?;
        let deadline = std::mem::replace(&mut self.deadline, Deadline::after(Duration::MAX));
        let upload = std::mem::replace(&mut self.upload, Progress::of(None));
        let body = ForwardedBody::new(wire, deadline, self.patience, upload);
        Ok(Forwarded {
            response: http::Response::from_parts(head, body),
            decision,
            held,
        })
    }

    /// The connection, once its last word of HTTP was said.
    async fn switch(&mut self, answer: Answer) -> Result<Switched, Error> {
        let Answer {
            head,
            mut link,
            decision,
            held,
            ..
        } = answer;
        let ending = timeout(self.patience, link.end());
        let ended = self.deadline.bound(pin!(ending)).await?;
        ended.map_err(|_| late("no end of the request", self.patience))?;
        let (stream, early) = link.into_stream();
        Ok(Switched {
            response: http::Response::from_parts(head, ()),
            stream: UpgradedStream::new(early, stream),
            decision,
            held,
        })
    }
}

impl Answer {
    fn new(
        response: http::Response<Incoming>,
        link: Box<Link>,
        decision: Arc<Decision>,
        held: Held,
    ) -> Self {
        let (head, incoming) = response.into_parts();
        Self {
            head,
            incoming,
            link,
            decision,
            held,
        }
    }
}

/// The request with a body that waits for the server's word when it `expects` one, and tells how it goes on.
fn gated(request: Request<Body>, expects: bool, patience: Duration) -> (Request<Body>, Progress) {
    let (head, body) = request.into_parts();
    if body.is_empty() {
        return (Request::from_parts(head, body), Progress::of(None));
    }
    let (upload, gate) = Upload::new(body, expects, patience);
    let mut request = Request::from_parts(head, Body::wrap(upload));
    if expects {
        let gate = Arc::clone(&gate);
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                gate.open();
            }
        });
    }
    (request, Progress::of(Some(gate)))
}

/// What can be sent again without doing twice what was asked for once: an idempotent request (RFC 9110, 9.2.2) without a
/// body.
fn spare(request: &Request<Body>) -> Option<Request<Body>> {
    let repeatable = request.method().is_idempotent() && request.body().is_empty();
    repeatable.then(|| {
        let mut spare = Request::new(Body::empty());
        *spare.method_mut() = request.method().clone();
        *spare.uri_mut() = request.uri().clone();
        *spare.headers_mut() = request.headers().clone();
        *spare.extensions_mut() = request.extensions().clone();
        spare
    })
}

/// The request to send again: nothing of it was sent, or it is the spare one and the server has not said a byte.
fn once_more(failure: Failure, spare: Option<Request<Body>>) -> Result<Request<Body>, Error> {
    let again = spare.filter(|_| failure.silent);
    failure.unsent.or(again).ok_or(failure.error)
}

fn late(what: &str, patience: Duration) -> Error {
    let detail = format!("{what} within {patience:?}");
    Error::exchange(Reason::DeadlineExceeded, detail)
}
