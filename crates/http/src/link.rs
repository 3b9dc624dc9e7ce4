//! One HTTP/1.1 connection, driven by the task that uses it.
//!
//! hyper splits a connection into a handle and a future that does the work. The usual way is to give
//! the future a task of its own. Here the future stays beside the handle, and whoever waits for a head
//! or for body bytes drives it: no task per connection, no wake-up across tasks for each message, and
//! a dropped exchange closes its socket at once. A kept connection is not driven at all; it is looked
//! at once more before it is used again.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use pinfold::PolicyRef;
use pinfold_addr::{Host, Scheme, Target};

use crate::{
    Body, Error, Limits, binding,
    io::{Meter, Stream},
    limits::{HEADERS_ON_STACK, HEADS, READ_BUFFER},
};

/// What a connection was made for. It serves nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Purpose {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// The judged address it is connected to.
    pub(crate) peer: SocketAddr,
    /// Digest of the policy that judged.
    pub(crate) policy: String,
    /// Generation of the policy that judged.
    pub(crate) generation: u64,
    /// For whom it was made, where there are several.
    pub(crate) partition: Option<Arc<str>>,
}

impl Purpose {
    /// What a connection to `peer` is for.
    pub(crate) fn new(target: &Target, peer: SocketAddr, policy: PolicyRef) -> Self {
        Self {
            scheme: target.scheme(),
            host: target.host().clone(),
            port: target.port(),
            peer,
            policy: policy.digest,
            generation: policy.generation,
            partition: None,
        }
    }

    /// Whether a request to `target` under `policy`, of this `partition`, may use it. The peer is compared by the
    /// caller, who looks for it among the judged addresses.
    pub(crate) fn serves(
        &self,
        target: &Target,
        policy: &PolicyRef,
        partition: Option<&str>,
    ) -> bool {
        self.generation == policy.generation
            && self.partition.as_deref() == partition
            && self.port == target.port()
            && self.scheme == target.scheme()
            && self.host == *target.host()
            && self.policy == policy.digest
    }

    /// Whether both are for the same origin at the same address.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.port == other.port && self.scheme == other.scheme && self.host == other.host
    }
}

/// A connection and what it is for.
pub(crate) struct Link {
    pub(crate) purpose: Purpose,
    sender: SendRequest<Body>,
    driver: Connection<TokioIo<Stream>, Body>,
    meter: Meter,
    /// Bytes that may come before the head of a response is complete.
    heads: u64,
    /// The driver has ended and must not be polled again.
    ended: bool,
    /// Something that went over it authenticates the connection.
    bound: bool,
}

/// Why a request got no response.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The request, when nothing of it was sent.
    pub(crate) unsent: Option<http::Request<Body>>,
    /// Whether the server had said nothing at all.
    pub(crate) silent: bool,
}

impl Link {
    /// A connection over a fresh stream. Nothing is sent yet.
    pub(crate) async fn new(
        stream: Stream,
        purpose: Purpose,
        parser: &Parser,
    ) -> Result<Box<Self>, Error> {
        let meter = stream.meter();
        let (sender, driver) = parser
            .builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::from_hyper(&error))?;
        Ok(Box::new(Self {
            purpose,
            sender,
            driver,
            meter,
            heads: parser.heads,
            ended: false,
            bound: false,
        }))
    }

    /// Sends a request and waits for the head of the response. Interim responses (1xx) are skipped, as
    /// long as they are not too many.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Incoming>, Failure> {
        self.bound |= binding::tried(request.headers());
        let before = self.meter.received();
        self.meter.allow(self.heads);
        let mut answer = pin!(self.sender.try_send_request(request));
        let result = poll_fn(|cx| {
            let ended = Pin::new(&mut self.driver).poll(cx).is_ready();
            self.ended |= ended;
            // Without a byte from the server there is no answer to look for.
            if !ended && self.meter.received() == before {
                return Poll::Pending;
            }
            match answer.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if ended => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.meter.allow(u64::MAX);
        let silent = self.meter.received() == before;
        match result {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut error)) => {
                let unsent = error.take_message();
                Err(Failure {
                    error: Error::from_hyper(error.error()),
                    unsent,
                    silent,
                })
            }
            None => Err(Failure {
                error: closed(),
                unsent: None,
                silent,
            }),
        }
    }

    /// Drives the connection while its response body is read. After the driver has ended, nothing
    /// more comes in.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = Pin::new(&mut self.driver).poll(cx).is_ready();
        }
    }

    /// Drives the connection until nothing more comes of it: what was switched to another protocol soon has.
    pub(crate) async fn end(&mut self) {
        poll_fn(|cx| {
            self.drive(cx);
            match self.ended {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// The stream under it, once the driver has ended with an upgrade, and what came behind the head of the response.
    pub(crate) fn into_stream(self) -> (Stream, Bytes) {
        let parts = self.driver.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }

    /// Whether a request tried to authenticate the connection itself: it may serve nobody else.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound
    }

    /// Whether nothing more will come in.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it can take another request: the last exchange is over on both sides, the server has
    /// not closed, and not a byte came that nobody asked for. Looks at the socket without waiting.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }
}

/// How responses are parsed: strictly, and within the limits.
#[derive(Debug)]
pub(crate) struct Parser {
    builder: Builder,
    heads: u64,
}

impl Parser {
    /// For whoever hands heads on: the names of headers are kept as they are written.
    pub(crate) fn verbatim(limits: &Limits) -> Self {
        let mut parser = Self::new(limits);
        parser.builder.preserve_header_case(true);
        parser
    }

    pub(crate) fn new(limits: &Limits) -> Self {
        let mut builder = Builder::new();
        builder
            .max_buf_size(READ_BUFFER)
            .max_header_size(limits.head_bytes.min(READ_BUFFER));
        if limits.headers != HEADERS_ON_STACK {
            builder.max_headers(limits.headers);
        }
        Self {
            builder,
            heads: HEADS.saturating_mul(limits.head_bytes as u64),
        }
    }
}

/// The error of a connection that ended without one of its own.
pub(crate) fn closed() -> Error {
    Error::exchange(
        pinfold_addr::Reason::ConnectionLost,
        "the server closed the connection before the response was complete",
    )
}
