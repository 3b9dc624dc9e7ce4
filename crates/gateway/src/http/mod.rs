//! The proxy that speaks HTTP: `CONNECT`, requests in absolute form, answers to what is refused.
//!
//! ```text
//!   socket ──► gate ──► library ──► service ──► target ──► identity ──► connect ──► tunnel
//!              strict heads,        one request  what is    who asks     forward ──► exchange
//!              deadlines                         asked                   upgrade ──► tunnel
//! ```
//!
//! | file | what |
//! |---|---|
//! | `gate.rs`, `head/`, `chunks.rs` | HTTP/1 read strictly, before the library reads it |
//! | `activity.rs`, `scope.rs` | what the parts of a connection know of each other; its tasks |
//! | `service.rs` | from a request to its answer |
//! | `target.rs`, `fields.rs` | what is asked for; which fields travel on |
//! | `connect.rs`, `forward.rs`, `upgrade.rs` | the three ways out |
//! | `onward.rs` | a connection that becomes a tunnel |
//! | `exchange.rs`, `upload.rs` | a forwarded exchange while it is open |
//! | `answer.rs` | what a client is told |

mod activity;
mod answer;
mod chunks;
mod connect;
mod exchange;
mod fields;
mod forward;
pub mod fuzz;
mod gate;
mod head;
mod onward;
mod reply;
mod scope;
mod service;
mod target;
mod upgrade;
mod upload;

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    activity::Activity,
    answer::{Format, told},
    service::TRACEPARENT,
    target::served_method,
};
use self::{gate::Gate, head::Bounds, scope::Scope, service::Proxy};
use crate::{
    config,
    listen::{Accepted, Stream},
    shared::Shared,
};

/// Serves a client until it or the gateway is done. Dropped, it ends all that belongs to the connection.
pub(crate) fn serve(
    shared: Arc<Shared>,
    accepted: Accepted,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(run(shared, accepted))
}

async fn run(shared: Arc<Shared>, accepted: Accepted) {
    let Accepted {
        mut stream,
        client,
        permit,
    } = accepted;
    let limits = Limits::of(&shared.config.load());
    let begun = timeout(limits.head_time, version(&mut stream)).await;
    let Ok(Ok(Some((version, begun)))) = begun else {
        // Nothing came, or not in time: there is nothing to answer.
        return;
    };
    let scope = Scope::default();
    let _all_tasks = scope.bind();
    let proxy = Proxy::new(Arc::clone(&shared), client, scope.clone());
    let connection = match version {
        Version::Http1 => http1(&proxy, stream, begun, limits),
        Version::Http2 => {
            let parts = (proxy.activity(), proxy.scope());
            http2(proxy.clone(), parts, stream, begun, limits)
        }
    };
    let activity = proxy.activity();
    tokio::select! {
        () = drive(&shared.draining, &activity, connection, limits) => {}
        () = proxy.told_to_close() => {}
    }
    match proxy.onward() {
        Some(tunnel) => tunnel.alone(shared, permit).await,
        None => scope.finished().await,
    }
}

/// A client speaks something else than HTTP/2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotHttp2;

/// Serves a client that speaks HTTP/2 and nothing else: for a service of our own, within the same bounds. What is not
/// HTTP/2 gets no answer that it could read.
pub(crate) async fn serve_http2<S, B>(
    shared: Arc<Shared>,
    accepted: Accepted,
    serve: impl FnOnce(Arc<Activity>) -> S,
) -> Result<(), NotHttp2>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<reply::BoxError>> + Send + 'static,
{
    let Accepted {
        mut stream,
        permit: _place,
        ..
    } = accepted;
    let limits = Limits::of(&shared.config.load());
    let begun = timeout(limits.head_time, version(&mut stream)).await;
    let begun = match begun {
        Ok(Ok(Some((Version::Http2, begun)))) => begun,
        Ok(Ok(Some((Version::Http1, _)))) => return Err(NotHttp2),
        // Nothing came, or not in time.
        Ok(Ok(None) | Err(_)) | Err(_) => return Ok(()),
    };
    let scope = Scope::default();
    let _all_tasks = scope.bind();
    let activity = Activity::new();
    let service = serve(Arc::clone(&activity));
    let parts = (Arc::clone(&activity), scope.clone());
    let connection = http2(service, parts, stream, begun, limits);
    drive(&shared.draining, &activity, connection, limits).await;
    scope.finished().await;
    Ok(())
}

enum Version {
    Http1,
    Http2,
}

/// What the first bytes say, and these bytes; none when none came.
async fn version(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(Version, BytesMut)>> {
    let mut begun = BytesMut::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&begun) {
        if begun.len() == PREFACE.len() {
            return Ok(Some((Version::Http2, begun)));
        }
        let left = PREFACE.len() - begun.len();
        let mut piece = [0; PREFACE.len()];
        let piece = piece.get_mut(..left).unwrap_or_default();
        let length = stream.read(piece).await?;
        if length == 0 {
            break;
        }
        begun.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    Ok((!begun.is_empty()).then_some((Version::Http1, begun)))
}

fn http1(proxy: &Proxy, stream: Box<dyn Stream>, begun: BytesMut, limits: Limits) -> Connection {
    let gate = Gate::http1(stream, begun, proxy.activity(), &limits.gate());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The gate has deadlines of its own, and answers.
        .header_read_timeout(None)
        .max_headers(limits.bounds.fields)
        .max_buf_size(limits.bounds.bytes.max(READ_BUFFER))
        .auto_date_header(false)
        .serve_connection(TokioIo::new(gate), proxy.clone())
        .with_upgrades();
    Box::pin(connection)
}

fn http2<S, B>(
    service: S,
    (activity, scope): (Arc<Activity>, Scope),
    stream: Box<dyn Stream>,
    begun: BytesMut,
    limits: Limits,
) -> Connection
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<reply::BoxError>> + Send + 'static,
{
    let gate = Gate::http2(stream, begun, activity, &limits.gate());
    let connection = http2::Builder::new(scope)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.bounds.bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(gate), service);
    Box::pin(connection)
}

/// Runs a connection; asks it to end when the gateway drains, when it was idle for too long, or when its own service
/// wants it to.
async fn drive(
    draining: &CancellationToken,
    activity: &Activity,
    mut connection: Connection,
    limits: Limits,
) {
    tokio::select! {
        _ = &mut connection => return,
        () = drained(draining, activity, limits) => {}
        () = activity.idle(limits.head_time, limits.keep_alive) => {}
        () = activity.ends() => {}
    }
    connection.as_mut().leave();
    // Exchanges end in their own time, and so do those that were on their way. A connection without any has no more to
    // wait for than a farewell: dropped earlier, the client would not know, and ask where nobody answers.
    tokio::select! {
        _ = connection => {}
        () = activity.farewell(FAREWELL) => {}
    }
}

/// Waits until the gateway drains, and for a request that was on its way then: it is answered.
async fn drained(draining: &CancellationToken, activity: &Activity, limits: Limits) {
    draining.cancelled().await;
    // In its own time it has come, or not.
    let _came = timeout(limits.head_time, activity.answered()).await;
}

/// A connection that can be asked to end.
trait Graceful: Future<Output = hyper::Result<()>> + Send {
    fn leave(self: Pin<&mut Self>);
}

type Connection = Pin<Box<dyn Graceful>>;

impl Graceful for http1::UpgradeableConnection<TokioIo<Gate<Box<dyn Stream>>>, Proxy> {
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Graceful for http2::Connection<TokioIo<Gate<Box<dyn Stream>>>, S, Scope>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<reply::BoxError>> + Send + 'static,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Bounds of one connection, as they were when it came.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bounds: Bounds,
    head_time: Duration,
    keep_alive: Duration,
    idle: Duration,
    streams: u32,
}

impl Limits {
    fn of(config: &config::Config) -> Self {
        let (limits, tunnels) = (&config.limits, &config.tunnels);
        Self {
            bounds: Bounds {
                bytes: usize::try_from(limits.head.get()).unwrap_or(usize::MAX),
                fields: limits.headers,
            },
            head_time: limits.head_time.get(),
            keep_alive: limits.keep_alive.get(),
            idle: tunnels.idle.get(),
            streams: limits.streams,
        }
    }

    fn gate(self) -> gate::Limits {
        gate::Limits {
            bounds: self.bounds,
            head_time: self.head_time,
            stalled: self.idle,
        }
    }
}

/// What a client of HTTP/2 says first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The smallest read buffer that the library takes, and then some.
const READ_BUFFER: usize = 16 << 10;

/// Streams that a client may reset before we have looked at them ("rapid reset").
const PENDING_RESETS: usize = 20;

/// Streams that we reset because of a client's faults, until the connection is ended for them.
const LOCAL_RESETS: usize = 100;

/// Bytes that a client may send on a stream, and on all, before they are taken.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of a stream that wait to be sent.
const SEND_BUFFER: usize = 64 << 10;

/// Whether a client of HTTP/2 is still there: asked this often, answered within this time.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long a connection that is asked to end may take, once nothing goes on there.
const FAREWELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
