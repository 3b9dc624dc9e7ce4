//! The body of an answer: our own text, or what a server sends.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{activity::Busy, exchange::Download};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of an answer. While it lives, its connection is busy.
pub(crate) struct Reply {
    kind: Kind,
    busy: Option<Busy>,
}

enum Kind {
    Empty,
    Text(Bytes),
    Download(Box<Download>),
}

impl Reply {
    pub(crate) fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::of(Kind::Text(text.into()))
    }

    pub(crate) fn download(download: Download) -> Self {
        Self::of(Kind::Download(Box::new(download)))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, busy: None }
    }

    /// Keeps the connection busy until it has ended.
    pub(crate) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Text(_) => match std::mem::replace(&mut self.kind, Kind::Empty) {
                Kind::Text(text) => Poll::Ready(Some(Ok(Frame::data(text)))),
                _ => Poll::Ready(None),
            },
            Kind::Download(download) => download.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Text(_) => false,
            Kind::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Download(download) => download.size_hint(),
        }
    }
}
