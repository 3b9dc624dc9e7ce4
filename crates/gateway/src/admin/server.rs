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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, Origin, Peer},
    answer::Problem,
    backend::Backend,
    paced::Paced,
    places::{Found, Place, Places},
    recent::Recent,
    routes,
};
use crate::{
    Config,
    client::ClientAddress,
    config::Withhold,
    listen::{
        Door, Opening, Raw, Stream, look,
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
    places: Arc<Places>,
    /// When it was last told that somebody was turned away.
    told: Mutex<Option<Instant>>,
    /// And that connections were closed that said nothing.
    silent: Mutex<Silent>,
    /// Cancelled when the gateway has ended: what is being answered may end.
    stop: CancellationToken,
}

/// Connections that said nothing.
#[derive(Debug, Default)]
struct Silent {
    told: Option<Instant>,
    /// Since then.
    count: u64,
}

impl Admin {
    /// An interface to this gateway.
    pub(crate) fn new(backend: Arc<dyn Backend>, access: Access, recent: Arc<Recent>) -> Self {
        Self {
            backend,
            access,
            recent,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            places: Arc::default(),
            told: Mutex::new(None),
            silent: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Reads the token again. What was good stays when that fails.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), String> {
        self.access.reload(&config.admin)
    }

    /// Withholds other things from now on.
    pub(crate) fn withhold(&self, withhold: &[Withhold]) {
        self.recent.reload(withhold);
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

    /// Tells, at most once a second, how many connections were closed that kept others from their place.
    fn closed_silent(&self) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.count += 1;
        if silent.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        let count = std::mem::take(&mut silent.count);
        silent.told = Some(Instant::now());
        drop(silent);
        self.backend.turned_away(format!(
            "connections to the interface for operators that said nothing, or found no place, were closed: {count}"
        ));
    }

    /// Accepts operators until `stop`. Where there is no place, and nobody is silent, who comes is closed at once.
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
            match raw {
                Ok(raw) => self.accepted(raw, door.address(), tls.clone()),
                // Out of descriptors, or the client was gone already: asking again at once would only burn time.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn accepted(self: &Arc<Self>, raw: Raw, local: Option<SocketAddr>, tls: Option<Arc<Tls>>) {
        let found = self.places.enter(&raw.address);
        if !matches!(found, Found::Free(_)) {
            self.closed_silent();
        }
        let (Found::Free(place) | Found::Instead(place)) = found else {
            return;
        };
        let origin = origin(&raw.address, local);
        let (admin, place) = (Arc::clone(self), Arc::new(place));
        tokio::spawn(async move {
            let holding = Arc::clone(&place);
            tokio::select! {
                () = admin.greet(raw, origin, tls, holding) => {}
                () = place.lost() => {}
            }
        });
    }

    async fn greet(
        self: Arc<Self>,
        raw: Raw,
        origin: Origin,
        tls: Option<Arc<Tls>>,
        place: Arc<Place>,
    ) {
        let Some(stream) = self.spoken(raw.stream).await else {
            return;
        };
        let Some(tls) = tls else {
            let peer = Peer {
                origin,
                certified: false,
            };
            return self.serve_at(stream, peer, Some(place)).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream));
        if let Ok(Ok(stream)) = handshake.await {
            let certified = proved(&stream).is_some();
            let peer = Peer { origin, certified };
            if let Some(stream) = self.spoken(stream).await {
                self.serve_at(stream, peer, Some(place)).await;
            }
        }
    }

    /// A stream of which something has come; none when nothing does in time.
    async fn spoken<S: Stream>(&self, stream: S) -> Option<impl Stream + use<S>> {
        let looked = tokio::time::timeout(FIRST_BYTE_TIME, look(stream)).await;
        match looked {
            Ok(Ok((Opening::Nothing, _)) | Err(_)) => None,
            Ok(Ok((_, stream))) => Some(stream),
            Err(_) => {
                self.closed_silent();
                None
            }
        }
    }

    /// Lets go who watches, and waits a moment for answers that are under way: the operator who asked for a drain
    /// is to hear that it has begun.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.recent.end();
        let _ = tokio::time::timeout(STOP_TIME, self.places.emptied()).await;
    }

    /// Serves one connection until it is done, or the gateway has ended: then what is being answered may end.
    #[cfg(test)]
    pub(crate) async fn serve(self: Arc<Self>, stream: impl Stream, peer: Peer) {
        self.serve_at(stream, peer, None).await;
    }

    async fn serve_at(self: Arc<Self>, stream: impl Stream, peer: Peer, place: Option<Arc<Place>>) {
        let stop = self.stop.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            place.iter().for_each(|place| place.heard());
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

/// Components that are taken in at a time.
const UPLOADS: usize = 2;
/// Between two events about who was turned away.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// When a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// For the first byte, of a handshake and after it.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(2);
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
