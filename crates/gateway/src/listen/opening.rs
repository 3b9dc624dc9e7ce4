//! The first bytes of a client say what it speaks. They are looked at, and read again by whoever serves it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Stream;

/// What the first bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    /// The client ended its half without a byte.
    Nothing,
    /// A request of HTTP, or the preface of HTTP/2; also what nobody knows, which HTTP answers best.
    Http,
    /// SOCKS5.
    Socks5,
    /// SOCKS4, which cannot leave names to the proxy.
    Socks4,
    /// A TLS handshake.
    Tls,
    /// A PROXY header, of either version.
    ProxyHeader,
}

/// Reads until it is clear what it is, and gives back a stream that begins with what was read.
pub(crate) async fn look<S: Stream>(mut stream: S) -> io::Result<(Opening, Rewound<S>)> {
    let mut seen = BytesMut::with_capacity(LONGEST);
    let opening = loop {
        if let Some(opening) = known(&seen) {
            break opening;
        }
        let room = LONGEST.saturating_sub(seen.len());
        if stream.read_buf(&mut (&mut seen).limit(room)).await? == 0 {
            break ended(&seen);
        }
    };
    Ok((opening, Rewound::new(seen.freeze(), stream)))
}

/// What these bytes begin, as soon as it is clear.
fn known(seen: &[u8]) -> Option<Opening> {
    let begins = |mark: &[u8]| seen.len() < mark.len() && mark.starts_with(seen);
    if begins(V1) || begins(V2) {
        return None;
    }
    Some(match seen.first() {
        _ if seen.starts_with(V1) || seen.starts_with(V2) => Opening::ProxyHeader,
        Some(0x04) => Opening::Socks4,
        Some(0x05) => Opening::Socks5,
        Some(0x16) => Opening::Tls,
        _ => Opening::Http,
    })
}

/// Nothing more comes.
fn ended(seen: &[u8]) -> Opening {
    match seen {
        [] => Opening::Nothing,
        _ => Opening::Http,
    }
}

/// A stream that begins with bytes which were read from it before.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    before: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    pub(crate) fn new(before: Bytes, stream: S) -> Self {
        Self { before, stream }
    }
}

/// A stream from which `before` was read, as it was.
pub(crate) fn rewound(before: Bytes, stream: Box<dyn Stream>) -> Box<dyn Stream> {
    match before.is_empty() {
        true => stream,
        false => Box::new(Rewound::new(before, stream)),
    }
}

impl<S: Stream> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let size = self.before.len().min(buf.remaining());
        buf.put_slice(&self.before.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The beginning of a PROXY header, version 1.
const V1: &[u8] = b"PROXY ";
/// And of version 2.
const V2: &[u8] = ppp::v2::PROTOCOL_PREFIX;
/// More is not looked at.
const LONGEST: usize = V2.len();

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_first_bytes_say_what_is_spoken_and_are_read_again() {
        let table: [(&str, &[u8], Opening); 14] = [
            ("nothing", b"", Opening::Nothing),
            ("connect", b"CONNECT a:443 HTTP/1.1\r\n\r\n", Opening::Http),
            ("put", b"PUT http://a/ HTTP/1.1\r\n\r\n", Opening::Http),
            (
                "propfind",
                b"PROPFIND http://a/ HTTP/1.1\r\n\r\n",
                Opening::Http,
            ),
            ("http/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Opening::Http),
            (
                "empty lines first",
                b"\r\nGET http://a/ HTTP/1.1\r\n\r\n",
                Opening::Http,
            ),
            ("noise", b"\xff\xfe", Opening::Http),
            ("half a mark", b"PROX", Opening::Http),
            ("socks5", b"\x05\x01\x00", Opening::Socks5),
            ("socks4", b"\x04\x01\x00\x50", Opening::Socks4),
            ("tls", b"\x16\x03\x01\x02\x00", Opening::Tls),
            (
                "v1",
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
                Opening::ProxyHeader,
            ),
            (
                "v2",
                b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
                Opening::ProxyHeader,
            ),
            ("half of v2", b"\r\n\r\n\0\r\nQUI", Opening::Http),
        ];
        for (row, bytes, expected) in table {
            for size in [1, 3, 64] {
                let (mut client, server) = duplex(1024);
                let send = async move {
                    for piece in bytes.chunks(size) {
                        client.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                };
                let ((), looked) = tokio::join!(send, look(server));
                let (opening, mut stream) = looked.unwrap();
                assert_eq!(opening, expected, "{row}, pieces of {size}");
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                assert_eq!(all, bytes, "{row}, pieces of {size}");
            }
        }
    }
}
