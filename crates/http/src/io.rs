//! The byte stream under an exchange: a pinned socket, plain or under TLS.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use pinfold_addr::Reason;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::Error;

/// A connected byte stream that counts what it received, and stops receiving when told to.
#[derive(Debug)]
pub(crate) struct Stream {
    kind: Kind,
    meter: Meter,
}

/// How many bytes came in, and how many may. Shared with whoever watches the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    received: AtomicU64,
    /// Once more than this were received, reads fail.
    ceiling: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            ceiling: AtomicU64::new(u64::MAX),
        }
    }
}

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    // Boxed: the state of TLS is some twenty times the size of a socket.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// A socket as it is.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self {
            kind: Kind::Plain(socket),
            meter: Meter::default(),
        }
    }

    /// A socket under TLS.
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self {
            kind: Kind::Tls(Box::new(stream)),
            meter: Meter::default(),
        }
    }

    /// The count of bytes received.
    pub(crate) fn meter(&self) -> Meter {
        self.meter.clone()
    }
}

impl Meter {
    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Lets the stream receive this many bytes more; the read after that fails.
    pub(crate) fn allow(&self, bytes: u64) {
        let ceiling = self.received().saturating_add(bytes);
        self.0.ceiling.store(ceiling, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        let ceiling = self.0.ceiling.load(Ordering::Relaxed);
        if self.received() <= ceiling {
            return Ok(());
        }
        let detail = "more bytes than heads may have, and no response among them";
        Err(io::Error::other(Error::exchange(
            Reason::ResponseHeadTooLarge,
            detail,
        )))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.meter.check()?;
        let before = buf.filled().len();
        ready!(match &mut self.kind {
            Kind::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Kind::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        self.meter.add(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Kind::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Kind::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Kind::Plain(socket) => socket.is_write_vectored(),
            Kind::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
