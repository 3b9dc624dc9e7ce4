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

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// A connected byte stream that counts what it received.
#[derive(Debug)]
pub(crate) struct Stream {
    kind: Kind,
    meter: Meter,
}

/// How many bytes came in. Shared with whoever watches the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicU64>);

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
        self.0.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.kind {
            Kind::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Kind::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        let received = buf.filled().len().saturating_sub(before);
        self.meter.0.fetch_add(received as u64, Ordering::Relaxed);
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
