//! One connection of an operator: HTTP/1.1, few at a time, each step with a deadline.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, Origin, Peer},
    answer::Problem,
    backend::Backend,
    paced::Paced,
    recent::Recent,
    routes,
};
use crate::{
    Config,
    client::ClientAddress,
    listen::{
        Door, Raw, Stream,
        tls::{Tls, proved},
    },
};

/// The interface of one gateway.
pub(crate) struct Admin {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) access: Access,
    pub(super) recent: Arc<Recent>,
    /// Bodies that are large: a component takes memory before anybody has looked at it.
    pub(super) uploads: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// When it was last told that somebody was turned away.
    told: Mutex<Option<Instant>>,
    /// Cancelled when the gateway has ended: what is being answered may end.
    stop: CancellationToken,
}

impl Admin {
    /// An interface to this gateway.
    pub(crate) fn new(backend: Arc<dyn Backend>, access: Access, recent: Arc<Recent>) -> Self {
        Self {
            backend,
            access,
            recent,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            connections: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            told: Mutex::new(None),
            stop: CancellationToken::new(),
        }
    }

    /// Reads the token again, and withholds what is to be withheld now. What was good stays when that fails.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), String> {
        self.recent.reload(&config.records.log.withhold);
        self.access.reload(&config.admin)
    }

    /// Tells of it, at most once a second: whoever is turned away may come again and again.
    pub(super) fn turned_away(&self, peer: Peer, problem: &Problem) {
        let mut last = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let (origin, code) = (peer.origin, problem.code());
        let detail = format!(
            "a request to the interface for operators was refused: `{code}`, from {origin}"
        );
        self.backend.turned_away(detail);
    }

    /// A place for one more connection; none when there are too many.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// Accepts operators until `stop`. What is beyond the places is closed at once.
    pub(crate) async fn run(
        self: Arc<Self>,
        door: Arc<Door>,
        tls: Option<Arc<Tls>>,
        stop: CancellationToken,
    ) {
        loop {
            let raw = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.stop.cancelled() => return,
                raw = door.accept() => raw,
            };
            match (raw, self.place()) {
                (Ok(raw), Some(place)) => {
                    let origin = origin(&raw.address, door.address());
                    let serving = Arc::clone(&self).greet(raw, origin, tls.clone());
                    tokio::spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                (Ok(_), None) => {}
                // Out of descriptors, or the client was gone already: asking again at once would only burn time.
                (Err(_), _) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn greet(self: Arc<Self>, raw: Raw, origin: Origin, tls: Option<Arc<Tls>>) {
        let Some(tls) = tls else {
            let certified = false;
            return self.serve(raw.stream, Peer { origin, certified }).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(raw.stream));
        if let Ok(Ok(stream)) = handshake.await {
            let certified = proved(&stream).is_some();
            self.serve(stream, Peer { origin, certified }).await;
        }
    }

    /// Lets go who watches, and waits a moment for answers that are under way: the operator who asked for a drain
    /// is to hear that it has begun.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.recent.end();
        let all = self.connections.acquire_many(CONNECTIONS);
        let _ = tokio::time::timeout(STOP_TIME, all).await;
    }

    /// Serves one connection until it is done, or the gateway has ended: then what is being answered may end.
    pub(crate) async fn serve(self: Arc<Self>, stream: impl Stream, peer: Peer) {
        let stop = self.stop.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move { Ok::<_, Infallible>(routes::answer(&admin, peer, request).await) }
        });
        let io = TokioIo::new(Paced::new(stream, WRITE_TIME));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        // How it ended is nobody's concern: the operator saw it.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = tokio::time::timeout(STOP_TIME, connection).await;
    }
}

/// Where a connection comes from, at a door that is bound to this address.
fn origin(peer: &ClientAddress, local: Option<SocketAddr>) -> Origin {
    match (peer, local) {
        (ClientAddress::Unix { .. }, None) => Origin::Unix,
        (ClientAddress::Tcp(peer), Some(local)) => Origin::tcp(*peer, local),
        _ => Origin::Beyond,
    }
}

/// Connections of operators at a time.
const CONNECTIONS: u32 = 64;
/// Components that are taken in at a time.
const UPLOADS: usize = 2;
/// Between two events about who was turned away.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// When a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(100);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// For a head, the time between two requests included.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Of a head.
const HEAD_BYTES: usize = 16 << 10;
/// Header fields of a request.
const HEADERS: usize = 64;
/// For a reader to take anything.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// For an answer under way when the gateway ends.
const STOP_TIME: Duration = Duration::from_secs(2);
