//! Pinned connections for users of hyper.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use pinfold::{Connector, Guard, Pinned};
use pinfold_addr::Target;

use crate::{Error, Limits, TlsRoots, deadline::Deadline, io::Stream, tls::Tls};

/// A connector for `hyper_util::client::legacy::Client`: from a URI to a socket
/// whose peer was judged, under TLS for `https`.
///
/// hyper-util's own pool knows neither policies nor judged addresses: a kept connection would serve
/// later requests that nobody judged, under a policy that no longer holds. So each connection is marked
/// as not to be used again, and every request gets a judgement and a record of its own. hyper-util
/// hands over scheme, host and port: a policy sees the path `/` and no method, and each redirect as a
/// first request.
///
/// Of the policy's terms, `https_only` and `connect_timeout` hold as everywhere, and `total_timeout`
/// bounds what is done here: lookup, connection and TLS handshake together. `response_bytes` and
/// `redirects` speak of the exchange, which is hyper's: they are not enforced, and neither is
/// `total_timeout` beyond the handshake. For all of that, and for connections that are kept, use
/// [`Client`](crate::Client).
///
/// # Example
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use http_body_util::Empty;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use pinfold::Guard;
/// use pinfold_http::GuardedConnector;
///
/// let connector = GuardedConnector::new(Guard::new()?);
/// let client = Client::builder(TokioExecutor::new()).build::<_, Empty<bytes::Bytes>>(connector);
/// let response = client.get("https://example.com/".parse()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GuardedConnector {
    guard: Guard,
    connector: Connector,
    tls: Tls,
    limits: Limits,
}

/// A connection that [`GuardedConnector`] made. hyper reads and writes it.
#[derive(Debug)]
pub struct GuardedStream {
    io: TokioIo<Stream>,
}

impl GuardedConnector {
    /// A connector that trusts the roots of the operating system.
    pub fn new(guard: Guard) -> Self {
        Self::with(guard, &TlsRoots::default(), Limits::default())
    }

    /// A connector with these roots. Of the limits only `total` applies.
    pub fn with(guard: Guard, roots: &TlsRoots, limits: Limits) -> Self {
        Self {
            connector: guard.connector(),
            tls: Tls::new(roots),
            guard,
            limits,
        }
    }

    async fn connect(self, uri: Uri) -> Result<GuardedStream, Error> {
        let target =
            Target::parse(&uri.to_string()).map_err(|refusal| Error::denied(refusal.into()))?;
        let mut deadline = Deadline::after(self.limits.total);
        let session = self.guard.session();
        let request = pinfold::Request::new(target);
        let pinned = deadline.bound(pin!(session.pin(request))).await??;
        if let Some(total) = pinned.terms().total_timeout {
            deadline.tighten(total);
        }
        let stream = deadline.bound(pin!(self.open(pinned))).await??;
        Ok(GuardedStream {
            io: TokioIo::new(stream),
        })
    }

    async fn open(&self, pinned: Pinned) -> Result<Stream, Error> {
        let target = pinned.target().clone();
        let connection = self.connector.connect(pinned).await?;
        self.tls
            .wrap(connection, target.host(), target.scheme().is_tls())
            .await
    }
}

impl tower_service::Service<Uri> for GuardedConnector {
    type Response = GuardedStream;
    type Error = Error;
    type Future = BoxFuture<'static, Result<GuardedStream, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl Connection for GuardedStream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        connected.poison();
        connected
    }
}

impl Read for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
