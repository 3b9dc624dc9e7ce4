//! Stands between the socket of a client and the server library: an HTTP/1 request passes when its head was read
//! strictly ([`head`]), and its body ends where its framing says.
//!
//! A head that is refused is kept back, and in its place passes a request of our own, which the service answers with
//! the refusal: so there is one way in which answers are made, and answers to requests before it are not lost. Nothing
//! of that connection is read after it.
//!
//! It also holds what the library has no deadline for: a head that does not end, a client that does not read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    activity::Activity,
    chunks::Chunks,
    head::{self, Body, Bounds},
};
use crate::refusal::{Kind, Refusal};

/// A client, read strictly.
pub(crate) struct Gate<S> {
    inner: S,
    activity: Arc<Activity>,
    bounds: Bounds,
    state: State,
    /// No request is read after the one whose body this is.
    last: bool,
    /// Read, and not yet let through.
    held: BytesMut,
    /// How many bytes at the front of it may pass.
    clear: usize,
    /// For the end of a head that has begun.
    head: Timer,
    /// For a client that does not read what it asked for.
    stalled: Timer,
    /// When the connection closes, what the client still sends is read for a while. A socket that is closed over
    /// unread bytes resets the connection, and the client may never see our last answer.
    linger: Timer,
    /// How many bytes of that are still read.
    thrown_away: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A head: how much of it was looked at, and whether an empty line came before it.
    Head {
        scanned: usize,
        empty: bool,
    },
    /// So many bytes of a body.
    Length(u64),
    Chunked(Chunks),
    /// HTTP/2: nothing is looked at.
    Raw,
    /// What is for a tunnel, if there is to be one.
    Onward,
    /// As before, and the client has ended its half.
    Ended,
    /// Nothing: what still comes is thrown away.
    Refused,
}

/// What the bytes at hand allow.
enum Step {
    Pass(usize),
    Again,
    More,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// A client that speaks HTTP/1 and of which `begun` was read.
    pub(crate) fn http1(
        inner: S,
        begun: BytesMut,
        activity: Arc<Activity>,
        limits: &Limits,
    ) -> Self {
        if !begun.is_empty() {
            activity.head_begins();
        }
        Self::new(inner, begun, activity, limits, FRESH)
    }

    /// A client that speaks HTTP/2, whose framing the library reads as strictly as can be.
    pub(crate) fn http2(
        inner: S,
        begun: BytesMut,
        activity: Arc<Activity>,
        limits: &Limits,
    ) -> Self {
        Self::new(inner, begun, activity, limits, State::Raw)
    }

    fn new(
        inner: S,
        begun: BytesMut,
        activity: Arc<Activity>,
        limits: &Limits,
        state: State,
    ) -> Self {
        Self {
            inner,
            activity,
            bounds: limits.bounds,
            state,
            last: false,
            held: begun,
            clear: 0,
            head: Timer::new(limits.head_time),
            stalled: Timer::new(limits.stalled),
            linger: Timer::new(LINGER_TIME),
            thrown_away: LINGER_BYTES,
        }
    }

    /// The client itself, and what was read of it and is for a tunnel.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.inner, self.held)
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.clear > 0 {
                let length = self.clear.min(out.remaining());
                out.put_slice(self.held.get(..length).unwrap_or_default());
                self.held.advance(length);
                self.clear -= length;
                return Poll::Ready(Ok(()));
            }
            match (self.state, self.held.is_empty()) {
                (State::Refused, _) => return self.poll_discard(cx),
                (State::Onward, _) => return self.poll_ahead(cx),
                (State::Ended, _) => return Poll::Pending,
                (State::Raw, true) => {
                    // What was read of the preface is of no use any more.
                    self.held = BytesMut::new();
                    return Pin::new(&mut self.inner).poll_read(cx, out);
                }
                _ => {}
            }
            match self.step()? {
                Step::Pass(length) => self.clear = length,
                Step::Again => {}
                Step::More => {
                    // The end of the connection is the library's to judge.
                    if ready!(self.poll_more(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    /// Looks at what is held.
    fn step(&mut self) -> io::Result<Step> {
        match self.state {
            State::Head { scanned, empty } => Ok(self.head(scanned, empty)),
            State::Length(left) => {
                let passed = (self.held.len() as u64).min(left);
                self.state = self.after(left - passed);
                Ok(pass(passed as usize))
            }
            State::Chunked(chunks) => self.chunks(chunks),
            State::Raw | State::Onward | State::Ended | State::Refused => Ok(pass(self.held.len())),
        }
    }

    fn head(&mut self, scanned: usize, empty: bool) -> Step {
        // An empty line before a request is passed over (RFC 9112, 2.2), once.
        if !empty && self.held.starts_with(b"\r\n") {
            return self.empty_line();
        }
        let end = match head::find_end(&self.held, scanned, self.bounds) {
            Ok(Some(end)) => end,
            Ok(None) => {
                let scanned = self.held.len();
                if scanned > 0 {
                    self.activity.head_begins();
                }
                self.state = State::Head { scanned, empty };
                return Step::More;
            }
            Err(refusal) => return self.refuse(refusal),
        };
        match head::read(self.held.get(..end).unwrap_or_default(), self.bounds) {
            Ok(head) => {
                self.head.stop();
                self.activity.head_passes();
                self.last = head.last;
                self.state = match head.body {
                    Body::Length(length) => self.after(length),
                    Body::Chunked => State::Chunked(Chunks::Size),
                };
                Step::Pass(end)
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Takes an empty line. When nothing follows, no head has begun: what its bytes have set going ends.
    fn empty_line(&mut self) -> Step {
        self.held.advance(2);
        self.state = head_after_empty();
        if self.held.is_empty() {
            self.head.stop();
            self.activity.head_was_none();
        }
        Step::Again
    }

    /// So many bytes of a body are left.
    fn after(&self, left: u64) -> State {
        match left {
            0 if self.last => State::Onward,
            0 => FRESH,
            left => State::Length(left),
        }
    }

    fn chunks(&mut self, mut chunks: Chunks) -> io::Result<Step> {
        let mut passed = 0;
        loop {
            let rest = self.held.get(passed..).unwrap_or_default();
            let (more, next) = chunks
                .step(rest)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "chunks are malformed"))?;
            passed += more;
            if next == Chunks::Done {
                self.state = self.after(0);
                break;
            }
            if more == 0 {
                self.state = State::Chunked(next);
                break;
            }
            chunks = next;
        }
        Ok(pass(passed))
    }

    /// Lets the stand-in through, and nothing after it.
    fn refuse(&mut self, refusal: Refusal) -> Step {
        self.head.stop();
        self.activity.head_refused(refusal);
        self.state = State::Refused;
        self.held = BytesMut::from(STAND_IN);
        Step::Pass(STAND_IN.len())
    }

    /// Reads more, within the time for a head.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.poll_fill(cx);
        if !matches!(self.state, State::Head { .. }) {
            return read;
        }
        match read {
            Poll::Pending if !self.held.is_empty() && self.head.poll_over(cx).is_ready() => {
                let slow = Refusal::new(Kind::Slow, "request", "head-timeout")
                    .hint("send the head of a request at once");
                if let Step::Pass(length) = self.refuse(slow) {
                    self.clear = length;
                }
                Poll::Ready(Ok(self.clear))
            }
            read => read,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.held.len();
        self.held.resize(before + PIECE, 0);
        let mut piece = ReadBuf::new(self.held.get_mut(before..).unwrap_or_default());
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut piece);
        let length = piece.filled().len();
        self.held.truncate(before + length);
        if self.held.is_empty() {
            // Nor has a connection that waits.
            self.held = BytesMut::new();
        }
        read.map_ok(|()| length)
    }

    /// Reads what comes before there is a tunnel, for the sake of what comes after it: the end of the connection. The
    /// library, which would read it once and not again, gets none of it. Ready only when the client has gone.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.len() < AHEAD {
            match ready!(self.poll_fill(cx))? {
                0 if self.held.is_empty() => return Poll::Ready(Ok(())),
                // It has said all that it has to say to the server, and waits for the answer.
                0 => {
                    self.state = State::Ended;
                    break;
                }
                _ => {}
            }
        }
        Poll::Pending
    }

    /// Throws away what comes. Never ready: our answer goes out first, and then closes the connection.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_thrown_away(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    /// Ready when the client has ended, or has sent more than is waited for.
    fn poll_thrown_away(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.thrown_away > 0 {
            self.held.clear();
            match ready!(self.poll_fill(cx))? {
                0 => self.thrown_away = 0,
                length => self.thrown_away = self.thrown_away.saturating_sub(length),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The deadline of a client that does not take what is written.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(result) => {
                self.stalled.stop();
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(self.stalled.poll_over(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

/// What bounds a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bounds: Bounds,
    /// From the first byte of a head to its last.
    pub(crate) head_time: Duration,
    /// How long a client may not read.
    pub(crate) stalled: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_pass(cx, out)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = Pin::new(&mut gate.inner).poll_write(cx, bytes);
        gate.unless_stalled(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        let flushed = Pin::new(&mut gate.inner).poll_flush(cx);
        gate.unless_stalled(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        let shut = Pin::new(&mut gate.inner).poll_shutdown(cx);
        ready!(gate.unless_stalled(cx, shut))?;
        // HTTP/2 has its own way to say that nothing comes any more.
        if matches!(gate.state, State::Raw) || gate.linger.poll_over(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        gate.poll_thrown_away(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = Pin::new(&mut gate.inner).poll_write_vectored(cx, pieces);
        gate.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A deadline that begins when it is first asked about.
struct Timer {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

impl Timer {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: None,
            runs: false,
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.runs {
            sleep.as_mut().reset(Instant::now() + limit);
            self.runs = true;
        }
        sleep.as_mut().poll(cx)
    }

    fn stop(&mut self) {
        self.runs = false;
    }
}

/// The first byte of a head is next.
const FRESH: State = State::Head {
    scanned: 0,
    empty: false,
};

fn head_after_empty() -> State {
    State::Head {
        scanned: 0,
        empty: true,
    }
}

fn pass(length: usize) -> Step {
    match length {
        0 => Step::More,
        length => Step::Pass(length),
    }
}

/// Passes in place of what is refused. The service knows it by its number.
const STAND_IN: &[u8] = b"GET http://refused.invalid/ HTTP/1.1\r\nconnection: close\r\n\r\n";

/// What is read at a time.
const PIECE: usize = 8 << 10;

/// What is read before there is a tunnel: then the client waits, or is not missed until then.
const AHEAD: usize = 16 << 10;

/// What is read, and how long, of a connection that is closing.
const LINGER_BYTES: usize = 256 << 10;
const LINGER_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
