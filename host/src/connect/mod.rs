//! From a pin to a confirmed socket: steps 9 and 10 of the way of a request.

mod eyeballs;
mod socket;

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pinfold_addr::Reason;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

pub(crate) use eyeballs::order;
use eyeballs::{Lost, Pace, race};

use crate::{Decision, Denial, Error, Held, Limits, Pinned, Terms, policy::floor::Floor};

/// Opens sockets, only from pins. Made by [`Guard::connector`](crate::Guard::connector); cheap to clone.
///
/// A [`tower_service::Service`] from [`Pinned`] to [`Connection`], always ready. It resolves nothing,
/// reads no proxy from the environment, and tries each pinned address at most once.
///
/// Bounds: [`Limits::attempt`] for one attempt, [`Limits::connect`] or the terms' `connect_timeout`,
/// whichever is smaller, for all of them.
#[derive(Clone, Debug)]
pub struct Connector {
    floor: Arc<Floor>,
    attempt: Duration,
    whole: Duration,
}

/// A connected socket whose peer was judged.
///
/// Reads and writes go to the socket as they are: TLS and HTTP stand above and speak of the original
/// host, not of [`peer`](Self::peer).
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    terms: Terms,
    decision: Arc<Decision>,
    held: Held,
}

impl Connector {
    pub(crate) fn new(floor: Arc<Floor>, limits: &Limits) -> Self {
        Self {
            floor,
            attempt: limits.attempt,
            whole: limits.connect,
        }
    }

    /// Races the judged addresses (RFC 8305) and confirms the peer.
    ///
    /// # Errors
    ///
    /// Denied with `proof-foreign`, `pin-expired`, `peer-mismatch`, `address-own`; failed with `connect-failed` or
    /// `connect-timeout`.
    pub async fn connect(&self, pinned: Pinned) -> Result<Connection, Error> {
        self.connect_by(socket::dial, pinned).await
    }

    async fn connect_by<D, F>(&self, dial: D, pinned: Pinned) -> Result<Connection, Error>
    where
        D: Fn(SocketAddr) -> F,
        F: Future<Output = io::Result<TcpStream>>,
    {
        let mut pinned = pinned.of(&self.floor)?.in_time()?;
        pinned.record.connecting();
        let start = Instant::now();
        let raced = race(&pinned.addresses, self.pace(&pinned.terms), dial).await;
        pinned.record.time(start, |timings| &mut timings.connect);
        match raced {
            Ok(stream) => self.confirm(pinned, stream),
            Err(lost) => Err(pinned.record.fail(failure(&lost)).into()),
        }
    }

    fn pace(&self, terms: &Terms) -> Pace {
        let whole = terms.connect_timeout.unwrap_or(self.whole).min(self.whole);
        Pace {
            attempt: self.attempt,
            whole,
        }
    }

    /// Step 10, the pair assertion: what was dialled was judged, so the peer must be too. Asked of the
    /// socket itself, because whatever stands between (a mistake of ours, a rewritten address) shows there.
    fn confirm(&self, pinned: Pinned, stream: TcpStream) -> Result<Connection, Error> {
        let (local, peer) = match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(peer)) => (local, peer),
            (Err(error), _) | (_, Err(error)) => {
                let denial =
                    Denial::new(Reason::ConnectFailed, format!("the peer is gone: {error}"));
                return Err(pinned.record.fail(denial).into());
            }
        };
        if !pinned.holds(peer) {
            return Err(pinned.mismatch(peer));
        }
        if self.floor.forbids_self(local, peer) {
            let denial = Denial::new(Reason::AddressOwn, format!("{peer} is this very machine"));
            return Err(pinned.record.deny(denial).into());
        }
        let held = pinned.held(peer);
        let Pinned { terms, record, .. } = pinned;
        Ok(Connection {
            stream,
            peer,
            held,
            terms,
            decision: record.allow(Some(peer), false),
        })
    }
}

fn failure(lost: &Lost) -> Denial {
    let reason = match lost.is_timeout() {
        true => Reason::ConnectTimeout,
        false => Reason::ConnectFailed,
    };
    Denial::new(reason, lost.to_string())
}

impl tower_service::Service<Pinned> for Connector {
    type Response = Connection;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, pinned: Pinned) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(pinned).await })
    }
}

impl Connection {
    /// The confirmed peer.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the exchange over it must obey.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Generation of the policy that judged; a kept connection of another generation is not used again.
    pub fn generation(&self) -> u64 {
        self.decision.policy.generation
    }

    /// The record of the hop, as the observer got it.
    pub fn decision(&self) -> &Arc<Decision> {
        &self.decision
    }

    /// What it was opened for, so that it can be judged again while it is open.
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// The socket.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
