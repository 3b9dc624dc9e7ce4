//! One connection of an operator: HTTP/1.1, few at a time, each step with a deadline.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, Peer},
    backend::Backend,
    paced::Paced,
    recent::Recent,
    routes,
};
use crate::listen::Stream;

/// The interface of one gateway.
pub(crate) struct Admin {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) access: Access,
    pub(super) recent: Arc<Recent>,
    /// Bodies that are large: a component takes memory before anybody has looked at it.
    pub(super) uploads: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Admin {
    /// An interface to this gateway.
    pub(crate) fn new(backend: Arc<dyn Backend>, access: Access, recent: Arc<Recent>) -> Self {
        Self {
            backend,
            access,
            recent,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Who may do what; to read the token again.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// A place for one more connection; none when there are too many.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// Serves one connection until it is done, or `stop`: then what is being answered may end.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: impl Stream,
        peer: Peer,
        stop: CancellationToken,
    ) {
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

/// Connections of operators at a time.
const CONNECTIONS: usize = 64;
/// Components that are taken in at a time.
const UPLOADS: usize = 2;
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
