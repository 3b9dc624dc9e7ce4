//! The body of a forwarded response.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::Error;

/// The body of a response as it comes, trailers included.
#[derive(Debug)]
pub struct ForwardedBody {}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        todo!("forward")
    }

    fn is_end_stream(&self) -> bool {
        todo!("forward")
    }

    fn size_hint(&self) -> SizeHint {
        todo!("forward")
    }
}
