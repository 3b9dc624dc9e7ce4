//! The body of a request on its way to the server: counted, and watched.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::Exchange;

/// The bytes of a client. Trailers are not passed on.
pub(crate) struct Upload {
    incoming: Incoming,
    exchange: Arc<Exchange>,
}

impl Upload {
    pub(crate) fn new(incoming: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { incoming, exchange }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            if let Some(data) = frame.data_ref() {
                self.exchange.up(data.len());
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
