//! The body of a forwarded response.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pinfold_addr::Reason;
use tokio::time::{Instant, Sleep, sleep};

use super::upload::Progress;
use crate::{
    Error,
    body::Wire,
    deadline::{Deadline, at},
};

/// The body of a response as it comes, trailers included.
///
/// It is bounded by the terms of the policy, and each piece by the patience of its
/// [`Forwarder`](crate::Forwarder), which counts only while somebody asks for the piece. Reading drives the connection,
/// and what is left of the request with it. Dropped before its end, it closes the connection.
pub struct ForwardedBody {
    /// Gone after an error.
    wire: Option<Wire>,
    deadline: Deadline,
    silence: Silence,
}

/// How long nothing has come.
struct Silence {
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    /// Whether somebody waits; begins anew with each piece.
    waiting: bool,
    /// What is sent meanwhile counts as life.
    upload: Progress,
}

impl ForwardedBody {
    pub(super) fn new(
        wire: Wire,
        deadline: Deadline,
        patience: Duration,
        upload: Progress,
    ) -> Self {
        let silence = Silence {
            patience,
            sleep: Box::pin(sleep(patience)),
            waiting: false,
            upload,
        };
        Self {
            wire: Some(wire),
            deadline,
            silence,
        }
    }

    fn poll_in_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(wire) = &mut self.wire else {
            return Poll::Ready(None);
        };
        match wire.poll_piece(cx) {
            Poll::Pending => match self.deadline.poll_passed(cx) {
                Poll::Ready(error) => Poll::Ready(Some(Err(error))),
                Poll::Pending => self.silence.poll_passed(cx).map(|error| Some(Err(error))),
            },
            // A server that always has more never lets the timer be asked.
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.waiting = false;
                Poll::Ready(Some(self.deadline.check().map(|()| frame)))
            }
            Poll::Ready(other) => Poll::Ready(other),
        }
    }
}

impl Silence {
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if !self.waiting {
            self.begin();
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if !self.upload.has_moved() {
                let detail = format!("no piece of the body within {:?}", self.patience);
                return Poll::Ready(Error::exchange(Reason::DeadlineExceeded, detail));
            }
            self.begin();
        }
        Poll::Pending
    }

    fn begin(&mut self) {
        self.waiting = true;
        let until = at(Instant::now(), self.patience);
        self.sleep.as_mut().reset(until);
    }
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_in_time(cx);
        if let Poll::Ready(Some(Err(_)) | None) = &polled {
            self.wire = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.wire.as_ref().is_none_or(Wire::has_finished)
    }

    fn size_hint(&self) -> SizeHint {
        let wire = self.wire.as_ref();
        wire.map_or_else(|| SizeHint::with_exact(0), Wire::size_hint)
    }
}

impl fmt::Debug for ForwardedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardedBody")
            .field("ended", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}
