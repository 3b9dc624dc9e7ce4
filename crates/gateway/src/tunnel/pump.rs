//! One direction of a tunnel.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once, into space on the stack: an idle direction holds no buffer. What a slow receiver does not
/// take of it is kept on the heap until it does.
const PIECE: usize = 32 << 10;

/// After so many pieces the other direction, and other tunnels, get their turn.
const TURNS: usize = 8;

/// Bytes from a reader to a writer, until the reader ends; then the writer is shut down.
#[derive(Debug, Default)]
pub(super) struct Half {
    state: State,
    /// What was read and not yet written.
    rest: Vec<u8>,
    written: usize,
    unflushed: bool,
}

/// Which end failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Broken {
    Reader,
    Writer,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Moving,
    /// The reader has ended.
    Ending,
    Done,
}

impl Half {
    /// Bytes that were read before.
    pub(super) fn first(&mut self, bytes: Vec<u8>) {
        (self.rest, self.written) = (bytes, 0);
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Moves what can be moved. `moved` hears how many bytes were written. After a writer failed it is done.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        mut moved: impl FnMut(u64),
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..TURNS {
            match self.state {
                State::Moving => {
                    ready!(self.poll_rest(cx, writer, &mut moved))?;
                    ready!(self.poll_piece(cx, reader, writer, &mut moved))?;
                }
                State::Ending => {
                    ready!(self.poll_flush(cx, writer))?;
                    // A writer that is gone by now is told of by the other direction.
                    let _ = ready!(Pin::new(&mut *writer).poll_shutdown(cx));
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_rest<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        moved: &mut impl FnMut(u64),
    ) -> Poll<Result<(), Broken>> {
        if self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let rest = self.rest.get(self.written..).unwrap_or_default();
        let (written, outcome) = write(cx, writer, rest, moved);
        self.written += written;
        self.unflushed = true;
        ready!(outcome).map_err(|_| self.broken())?;
        (self.rest, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_piece<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &mut impl FnMut(u64),
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut space = ReadBuf::uninit(&mut space);
        match Pin::new(reader).poll_read(cx, &mut space) {
            Poll::Pending => {
                ready!(self.poll_flush(cx, writer))?;
                return Poll::Pending;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reader)),
            Poll::Ready(Ok(())) => {}
        }
        let piece = space.filled();
        if piece.is_empty() {
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        let (written, outcome) = write(cx, writer, piece, moved);
        self.unflushed = true;
        if outcome.is_pending() {
            self.first(piece.get(written..).unwrap_or_default().to_vec());
        }
        outcome.map_err(|_| self.broken())
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>> {
        if self.unflushed {
            ready!(Pin::new(writer).poll_flush(cx)).map_err(|_| self.broken())?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn broken(&mut self) -> Broken {
        self.state = State::Done;
        Broken::Writer
    }
}

/// Writes as much as is taken, and how much that is.
fn write<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    writer: &mut W,
    bytes: &[u8],
    moved: &mut impl FnMut(u64),
) -> (usize, Poll<io::Result<()>>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match Pin::new(&mut *writer).poll_write(cx, rest) {
            Poll::Ready(Ok(0)) => {
                return (written, Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
            }
            Poll::Ready(Ok(count)) => {
                written += count;
                moved(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Poll::Ready(Err(error)) => return (written, Poll::Ready(Err(error))),
            Poll::Pending => return (written, Poll::Pending),
        }
    }
    (written, Poll::Ready(Ok(())))
}
