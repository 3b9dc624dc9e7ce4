//! A forwarded exchange while it is open: listed, counted, and cut when it is told to, or when nothing moves.
//!
//! The body of the answer is in the hands of the library, which does not ask for more while the client does not read.
//! What is to be cut must not wait for that: a task watches each exchange, and takes the body away.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use pinfold::{Decision, Held};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{forward::closing, reply::BoxError, scope::Scope};
use crate::{
    config,
    event::Asked,
    limit::Permit,
    live::{Closing, Live, Registry},
    refusal::{Kind, Refusal},
};

/// One exchange.
pub(crate) struct Exchange {
    registry: Arc<Registry>,
    asked: Arc<Asked>,
    bounds: Bounds,
    began: Instant,
    /// Milliseconds from the beginning to the last byte.
    moved: AtomicU64,
    state: Mutex<State>,
    /// There is a connection, or another one.
    opened: Notify,
    /// There is nothing left to watch.
    ended: Notify,
}

impl Bounds {
    pub(crate) fn of(tunnels: &config::Tunnels) -> Self {
        Self {
            silence: tunnels.response.get(),
            lifetime: tunnels.lifetime.get(),
        }
    }
}

/// Deadlines of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Without a byte, in either direction.
    pub(crate) silence: Duration,
    pub(crate) lifetime: Duration,
}

#[derive(Default)]
struct State {
    listed: Option<Arc<Listed>>,
    body: Option<UnsyncBoxBody<Bytes, BoxError>>,
    permit: Option<Permit>,
    /// What the client is to see instead of the rest.
    failed: Option<BoxError>,
    /// Who waits for the body.
    reader: Option<Waker>,
}

/// An entry among what is open, until the last who needs it is gone.
struct Listed {
    live: Option<Live>,
    ending: OnceLock<Ending>,
}

/// How one ends; without it, as it was told.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Closed(Closing),
    /// Somebody let go of it. What it was told before counts for more.
    Lost(Closing),
    Replaced,
}

impl Exchange {
    pub(crate) fn new(
        registry: Arc<Registry>,
        asked: Arc<Asked>,
        permit: Permit,
        bounds: Bounds,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            asked,
            bounds,
            began: Instant::now(),
            moved: AtomicU64::new(0),
            state: Mutex::new(State {
                permit: Some(permit),
                ..State::default()
            }),
            opened: Notify::new(),
            ended: Notify::new(),
        })
    }

    /// A judged connection, over which the request goes now. One before it was closed, and nothing came of it.
    pub(crate) fn open(&self, decision: &Arc<Decision>, held: &Held) {
        let (asked, decision) = (Arc::clone(&self.asked), Arc::clone(decision));
        let live = self.registry.enter(asked, decision, held.clone());
        live.outlive_at_most(self.bounds.lifetime);
        self.touch();
        let before = self.state().listed.replace(Arc::new(Listed::new(live)));
        if let Some(before) = before {
            before.end(Ending::Replaced);
        }
        self.opened.notify_one();
    }

    /// Waits for `head`, as long as the exchange may go on.
    pub(crate) async fn until<T>(&self, head: impl Future<Output = T>) -> Result<T, Closing> {
        tokio::select! {
            biased;
            head = head => Ok(head),
            closing = self.overdue() => {
                self.close(closing);
                Err(closing)
            }
        }
    }

    /// Counts bytes to the server.
    pub(crate) fn up(&self, bytes: usize) {
        self.touch();
        if let Some(listed) = &self.state().listed {
            listed.with(|live| live.up(bytes as u64));
        }
    }

    /// What the answer brings; the exchange ends with it.
    pub(crate) fn download(
        self: Arc<Self>,
        scope: &Scope,
        body: UnsyncBoxBody<Bytes, BoxError>,
    ) -> Download {
        self.touch();
        let hint = body.size_hint();
        if body.is_end_stream() {
            drop(body);
            self.close(Closing::Finished);
        } else {
            self.state().body = Some(body);
            scope.spawn(Arc::clone(&self).watch());
        }
        Download {
            exchange: self,
            hint,
        }
    }

    /// Takes out what is listed, for a tunnel that goes on with it.
    pub(crate) fn hand_over(&self) -> Option<(Live, Permit)> {
        let mut state = self.state();
        let live = Arc::into_inner(state.listed.take()?)?.live.take()?;
        Some((live, state.permit.take()?))
    }

    /// Ends it. Only the first reason counts.
    pub(crate) fn close(&self, closing: Closing) {
        self.end(Ending::Closed(closing));
    }

    fn end(&self, ending: Ending) {
        let (listed, body, permit, reader) = {
            let mut state = self.state();
            if state.body.is_some() && !matches!(ending, Ending::Closed(Closing::Finished)) {
                state.failed = Some("the exchange was cut".into());
            }
            let State {
                listed,
                body,
                permit,
                reader,
                ..
            } = &mut *state;
            (listed.take(), body.take(), permit.take(), reader.take())
        };
        // The connection to the server first, then its entry, then the place.
        drop(body);
        if let Some(listed) = listed {
            listed.end(ending);
        }
        drop(permit);
        self.ended.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Cuts it when its time has come. Ends with it.
    async fn watch(self: Arc<Self>) {
        tokio::select! {
            () = self.ended.notified() => {}
            closing = self.overdue() => self.close(closing),
        }
    }

    /// Waits until it is to be closed, and says why. Before there is a connection, lookup and connect have deadlines
    /// of their own.
    async fn overdue(&self) -> Closing {
        loop {
            let listed = self.state().listed.clone();
            let Some(listed) = listed else {
                self.opened.notified().await;
                continue;
            };
            tokio::select! {
                closing = listed.told_to_close() => return closing,
                () = self.silent() => return Closing::Idle,
                () = self.opened.notified() => {}
            }
        }
    }

    /// Waits until nothing has moved for too long.
    async fn silent(&self) {
        loop {
            let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let due = self.began + moved + self.bounds.silence + GRACE;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn touch(&self) {
        let moved = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(moved, Ordering::Relaxed);
    }

    /// The next bytes of the answer. After the last, or an error, the exchange is closed.
    fn poll_down(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut state = self.state();
        if let Some(error) = state.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(body) = &mut state.body else {
            return Poll::Ready(None);
        };
        match poll_data(body, cx) {
            Poll::Pending => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(None) => {
                drop(state);
                self.close(Closing::Finished);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(data))) => {
                let last = body.is_end_stream();
                self.touch();
                if let Some(listed) = &state.listed {
                    listed.with(|live| live.down(data.len() as u64));
                }
                drop(state);
                if last {
                    self.close(Closing::Finished);
                }
                Poll::Ready(Some(Ok(data)))
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = error.downcast_ref().map_or(Closing::Server, closing);
                state.body = None;
                state.failed = Some(error);
                drop(state);
                self.close(cause);
                // An error ends the connection at once. What came before it goes out first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exchange {
    /// The client went away while it waited for an answer, unless it is the gateway that ends.
    fn drop(&mut self) {
        self.end(Ending::Lost(Closing::Client));
    }
}

impl Listed {
    fn new(live: Live) -> Self {
        Self {
            live: Some(live),
            ending: OnceLock::new(),
        }
    }

    fn with(&self, act: impl FnOnce(&Live)) {
        if let Some(live) = &self.live {
            act(live);
        }
    }

    async fn told_to_close(&self) -> Closing {
        match &self.live {
            Some(live) => live.told_to_close().await,
            None => std::future::pending().await,
        }
    }

    fn end(&self, ending: Ending) {
        let _first = self.ending.set(ending);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Some(live) = self.live.take() else {
            return;
        };
        match self.ending.get() {
            Some(Ending::Closed(closing)) => live.end(*closing),
            Some(Ending::Lost(closing)) => live.lost(*closing),
            Some(Ending::Replaced) => live.replaced(),
            None => drop(live),
        }
    }
}

/// The body of an answer, as the client gets it. Dropped before its end, the exchange ends.
pub(crate) struct Download {
    exchange: Arc<Exchange>,
    /// What the head said of its length.
    hint: SizeHint,
}

impl Download {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.exchange.poll_down(cx);
        polled.map(|chunk| chunk.map(|data| data.map(Frame::data)))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.exchange.state();
        state.body.is_none() && state.failed.is_none()
    }

    /// Asked once, before the body.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.exchange.end(Ending::Lost(Closing::Client));
    }
}

/// The next data of a body; trailers are not passed on.
fn poll_data(
    body: &mut UnsyncBoxBody<Bytes, BoxError>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BoxError>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}

/// What a client is told when an exchange was closed before it was answered.
pub(crate) fn refusal(closing: Closing) -> Refusal {
    let (kind, code, hint) = match closing {
        Closing::Idle => (
            Kind::TimedOut,
            "response-timeout",
            "the server takes too long to answer",
        ),
        Closing::Lifetime => (
            Kind::TimedOut,
            "deadline-exceeded",
            "the exchange took longer than it may",
        ),
        Closing::Revoked => (
            Kind::Denied,
            "revoked",
            "the policy has changed, and refuses this now",
        ),
        Closing::Operator | Closing::Drained => {
            (Kind::Overloaded, "closed-by-operator", "try again")
        }
        Closing::Finished | Closing::Client | Closing::Server | Closing::Mismatch => (
            Kind::Unreachable,
            "connection-lost",
            "the server closed the connection: try again",
        ),
    };
    Refusal::new(kind, "exchange", code).hint(hint)
}

/// The forwarder has the same deadline while it waits for the server, and says more of it. It goes first; this is for
/// a client that does not read, for which nobody asks the server for more.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
