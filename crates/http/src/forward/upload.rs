//! The body of a request on its way to the server.
//!
//! It waits for `100 Continue` where the client does, tells that it moves, and stops when the server has answered
//! and wants no more of it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::{Body, Error, deadline::at};

/// How long a server that says nothing to `Expect` is waited for (RFC 9110, 10.1.1: not indefinitely).
const CONTINUE: Duration = Duration::from_secs(1);

/// A body that goes through a gate.
pub(super) struct Upload {
    body: Body,
    gate: Arc<Gate>,
    /// How long nothing passes, at most.
    quiet: Pin<Box<Sleep>>,
    /// Whether that is waited for; begins anew with each piece.
    armed: bool,
    patience: Duration,
}

/// What the sender of a request knows of its body, and says to it.
#[derive(Debug)]
pub(super) struct Gate {
    state: AtomicU8,
    pieces: AtomicU64,
    /// Whether the next piece is waited for, and so whether it is the client who is slow.
    starving: AtomicBool,
    /// Whether the response has begun: the client may then be silent as long as the server is not.
    answered: AtomicBool,
    waker: AtomicWaker,
}

/// Nothing passes before the server, or a second, says so.
const HELD: u8 = 0;
const OPEN: u8 = 1;
/// Nothing passes any more.
const STOPPED: u8 = 2;

impl Upload {
    /// A body whose pieces may be apart by `patience`. `held`: the server is asked first.
    pub(super) fn new(body: Body, held: bool, patience: Duration) -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate {
            state: AtomicU8::new(if held { HELD } else { OPEN }),
            pieces: AtomicU64::new(0),
            starving: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let upload = Self {
            body,
            gate: Arc::clone(&gate),
            quiet: Box::pin(sleep(CONTINUE)),
            armed: false,
            patience,
        };
        (upload, gate)
    }

    /// Ready once the gate is open.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before it is looked at: what happens in between wakes.
        self.gate.waker.register(cx.waker());
        match self.gate.state.load(Ordering::Acquire) {
            OPEN => Poll::Ready(()),
            HELD if self.poll_quiet(CONTINUE, cx).is_ready() => {
                self.gate.open();
                self.armed = false;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }

    /// Ready when nothing has passed for so long.
    fn poll_quiet(&mut self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            self.quiet.as_mut().reset(at(Instant::now(), patience));
            self.armed = true;
        }
        self.quiet.as_mut().poll(cx)
    }
}

impl Gate {
    /// Lets the body pass, unless it was stopped.
    pub(super) fn open(&self) {
        let opened = self
            .state
            .compare_exchange(HELD, OPEN, Ordering::AcqRel, Ordering::Acquire);
        if opened.is_ok() {
            self.waker.wake();
        }
    }

    /// The response has begun.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Lets nothing pass any more. What hyper has already taken is still sent.
    pub(super) fn stop(&self) {
        self.state.store(STOPPED, Ordering::Release);
        self.starving.store(false, Ordering::Relaxed);
    }
}

/// Whether a request still goes on.
#[derive(Debug)]
pub(super) struct Progress {
    /// None where there is no body.
    gate: Option<Arc<Gate>>,
    before: u64,
}

impl Progress {
    pub(super) fn of(gate: Option<Arc<Gate>>) -> Self {
        Self { gate, before: 0 }
    }

    /// Whether a piece was sent since this was asked last, or the client is waited for: it has a patience of its own.
    pub(super) fn goes_on(&mut self) -> bool {
        let gate = self.gate.as_ref();
        let starving = gate.is_some_and(|gate| gate.starving.load(Ordering::Relaxed));
        self.has_moved() || starving
    }

    /// Whether a piece was sent since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        let gate = self.gate.as_ref();
        let pieces = gate.map_or(0, |gate| gate.pieces.load(Ordering::Relaxed));
        std::mem::replace(&mut self.before, pieces) != pieces
    }

    pub(super) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.gate.state.load(Ordering::Acquire) != OPEN && self.poll_open(cx).is_pending() {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.gate
            .starving
            .store(polled.is_pending(), Ordering::Relaxed);
        if polled.is_pending() {
            let patience = self.patience;
            let answered = self.gate.answered.load(Ordering::Relaxed);
            return match answered || self.poll_quiet(patience, cx).is_pending() {
                true => Poll::Pending,
                false => Poll::Ready(Some(Err(Error::Stalled.into()))),
            };
        }
        self.armed = false;
        self.gate.pieces.fetch_add(1, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
