//! The body of a response, under its budgets and its deadline.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pinfold_addr::Reason;

use crate::{
    Error,
    deadline::Deadline,
    decode::{Coding, Decoder},
    limits::RESERVE,
    link::{Link, closed},
    pool::Pool,
};

/// The body of a response: bytes as they come, decoded, never more than the budget, never after the
/// deadline.
///
/// It is an [`http_body::Body`]; [`chunk`](Self::chunk), [`bytes`](Self::bytes) and
/// [`text`](Self::text) serve those who need no trait. Reading drives the connection: a body that is
/// not read holds its socket, and one that is dropped before its end closes it. After an error there
/// is nothing more. Trailers are dropped.
pub struct ResponseBody {
    state: State,
    deadline: Deadline,
}

enum State {
    Decoded(Box<Decoder>),
    Ended,
    Plain(Wire),
}

impl ResponseBody {
    pub(crate) fn new(wire: Wire, coding: Option<Coding>, deadline: Deadline) -> Self {
        let budget = wire.budget;
        let state = match coding {
            _ if wire.has_finished() => State::Ended,
            None => State::Plain(wire),
            Some(coding) => State::Decoded(Box::new(Decoder::new(coding, wire, budget))),
        };
        Self { state, deadline }
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// `response-too-large`, `response-inflated`, `response-invalid`, `connection-lost`,
    /// `deadline-exceeded`.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_chunk(cx)).await.transpose()
    }

    /// All bytes. The budget bounds them.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk); what came before the error is lost.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let expected = self.expected();
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        // The usual small body came in one piece and is handed on as it is.
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut all = BytesMut::with_capacity(expected.max(first.len() + second.len()));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// All of it as UTF-8; ill-formed sequences become U+FFFD. The charset of `Content-Type` is not
    /// heeded.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    pub async fn text(self) -> Result<String, Error> {
        let bytes = self.bytes().await?;
        Ok(match String::from_utf8(bytes.into()) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// What to reserve: the server's word is taken only up to a bound.
    fn expected(&self) -> usize {
        usize::try_from(self.size_hint().lower())
            .unwrap_or(RESERVE)
            .min(RESERVE)
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let polled = match &mut self.state {
            State::Ended => return Poll::Ready(None),
            State::Plain(wire) => wire.poll_chunk(cx),
            State::Decoded(decoder) => decoder.poll_chunk(cx),
        };
        let chunk = match polled {
            Poll::Pending => match self.deadline.poll_passed(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(error) => Some(Err(error)),
            },
            // A server that always has more never lets the timer be asked.
            Poll::Ready(Some(Ok(chunk))) => Some(self.deadline.check().map(|()| chunk)),
            Poll::Ready(other) => other,
        };
        if !matches!(chunk, Some(Ok(_))) {
            self.state = State::Ended;
        }
        Poll::Ready(chunk)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.poll_chunk(cx)
            .map(|chunk| chunk.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Ended => true,
            State::Plain(wire) => wire.has_finished(),
            State::Decoded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Ended => SizeHint::with_exact(0),
            State::Plain(wire) => wire.size_hint(),
            State::Decoded(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Decoded(_) => "decoded",
            State::Ended => "ended",
            State::Plain(_) => "plain",
        };
        f.debug_struct("ResponseBody")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// A body as it is received, and the connection it comes over.
pub(crate) struct Wire {
    incoming: Incoming,
    /// Gone when the body has ended, or failed.
    link: Option<Box<Link>>,
    pool: Pool,
    /// Whether the connection may serve again.
    keep: bool,
    budget: u64,
    left: u64,
}

impl Wire {
    /// A body of at most `budget` bytes. The connection goes back to the pool when it has ended.
    pub(crate) fn new(
        incoming: Incoming,
        link: Box<Link>,
        pool: Pool,
        keep: bool,
        budget: u64,
    ) -> Result<Self, Error> {
        if incoming.size_hint().lower() > budget {
            return Err(too_large(budget));
        }
        let mut wire = Self {
            incoming,
            link: Some(link),
            pool,
            keep,
            budget,
            left: budget,
        };
        wire.finish_at_end();
        Ok(wire)
    }

    /// The next bytes as received, without the framing. None at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = match self.poll_piece(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }

    /// The next bytes, or the trailers. None at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let frame = match self.poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    self.link = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.finish();
                    return Poll::Ready(None);
                }
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(self.charge(data).map(Frame::data))),
                // They are the end: whoever hands them on may not ask again.
                Err(trailers) => {
                    self.finish();
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(None);
        };
        let incoming = &mut self.incoming;
        // What was already read comes first; then the connection is driven to read more.
        let mut frame = Pin::new(&mut *incoming).poll_frame(cx);
        if frame.is_pending() {
            link.drive(cx);
            frame = Pin::new(incoming).poll_frame(cx);
        }
        match frame {
            Poll::Pending if link.has_ended() => Poll::Ready(Some(Err(closed()))),
            Poll::Pending => Poll::Pending,
            Poll::Ready(frame) => {
                Poll::Ready(frame.map(|result| result.map_err(|error| Error::from_body(&error))))
            }
        }
    }

    fn charge(&mut self, data: Bytes) -> Result<Bytes, Error> {
        let Some(left) = self.left.checked_sub(data.len() as u64) else {
            self.link = None;
            return Err(too_large(self.budget));
        };
        self.left = left;
        self.finish_at_end();
        Ok(data)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// Whether the end was reached.
    pub(crate) fn has_finished(&self) -> bool {
        self.link.is_none()
    }

    /// Whether the end was reached without a byte.
    pub(crate) fn ended_empty(&self) -> bool {
        self.has_finished() && self.left == self.budget
    }

    fn finish_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(link) = self.link.take()
            && self.keep
        {
            self.pool.put(link);
        }
    }
}

fn too_large(budget: u64) -> Error {
    Error::exchange(
        Reason::ResponseTooLarge,
        format!("more than {budget} bytes"),
    )
}
