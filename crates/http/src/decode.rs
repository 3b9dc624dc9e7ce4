//! Content codings: `gzip`, `deflate`, `br`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
use pinfold_addr::Reason;
use tokio::io::AsyncBufRead;
use tokio_util::io::{StreamReader, poll_read_buf};

use crate::{
    Error,
    body::Wire,
    limits::{DECODE_BUFFER, DECODE_CHUNKS},
};

/// What is decoded, as sent in `Accept-Encoding`.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate, br");

/// How a body is coded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Brotli,
    /// `deflate` is the zlib format (RFC 9110, 8.4.1.2), not bare deflate.
    Deflate,
    Gzip,
}

impl Coding {
    /// Reads `Content-Encoding`; none when the body is sent as it is.
    ///
    /// # Errors
    ///
    /// `response-invalid` for a coding that was not asked for, and for codings upon codings, which
    /// multiply the factor of a decompression bomb.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let mut found = None;
        for name in headers.get_all(CONTENT_ENCODING).iter().flat_map(names) {
            if found.is_some() {
                return Err(invalid("more than one content coding"));
            }
            found = Some(Self::named(name)?);
        }
        Ok(found)
    }

    fn named(name: &[u8]) -> Result<Self, Error> {
        if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            Ok(Self::Gzip)
        } else if name.eq_ignore_ascii_case(b"deflate") {
            Ok(Self::Deflate)
        } else if name.eq_ignore_ascii_case(b"br") {
            Ok(Self::Brotli)
        } else {
            Err(invalid("a content coding that was not asked for"))
        }
    }
}

/// The codings in one header value, without those that say nothing.
fn names(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
}

/// Decodes a body under a budget of its own.
pub(crate) struct Decoder {
    reader: Reader,
    buffer: BytesMut,
    budget: u64,
    left: u64,
}

enum Reader {
    Brotli(BrotliDecoder<Source>),
    Deflate(ZlibDecoder<Source>),
    Gzip(GzipDecoder<Source>),
}

type Source = StreamReader<Chunks, Bytes>;

impl Decoder {
    pub(crate) fn new(coding: Coding, wire: Wire, budget: u64) -> Self {
        let source = StreamReader::new(Chunks::new(wire, coding));
        let reader = match coding {
            Coding::Brotli => Reader::Brotli(BrotliDecoder::new(source)),
            Coding::Deflate => Reader::Deflate(ZlibDecoder::new(source)),
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(source);
                // RFC 1952, 2.2: a file is a series of members.
                decoder.multiple_members(true);
                Reader::Gzip(decoder)
            }
        };
        Self {
            reader,
            buffer: BytesMut::new(),
            budget,
            left: budget,
        }
    }

    /// The next decoded bytes; none when both the coding and the body under it have ended.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.buffer.reserve(DECODE_BUFFER);
        self.chunks().at_once = DECODE_CHUNKS;
        match ready!(self.reader.poll_read(cx, &mut self.buffer)) {
            Ok(0) => self.poll_end(cx),
            Ok(count) => {
                let Some(left) = self.left.checked_sub(count as u64) else {
                    return Poll::Ready(Some(Err(self.inflated())));
                };
                self.left = left;
                Poll::Ready(Some(Ok(self.buffer.split().freeze())))
            }
            Err(error) => Poll::Ready(self.fail(error).map(Err)),
        }
    }

    /// What stopped the decoder; none when that is the end of a body without a byte, which is an empty
    /// body, however it is said to be coded.
    fn fail(&mut self, error: io::Error) -> Option<Error> {
        match error.downcast::<Error>() {
            // Asked first: a body that broke before its first byte is broken, not empty.
            Ok(of_the_body) => Some(of_the_body),
            Err(_) if self.chunks().wire.ended_empty() => None,
            Err(of_the_coding) => Some(undecodable(&of_the_coding)),
        }
    }

    /// The coding has ended; so must the body, or two readers see different ends of it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(
            match ready!(Pin::new(self.reader.source()).poll_fill_buf(cx)) {
                Ok([]) => None,
                Ok(_) => Some(Err(invalid("bytes after the end of the coded body"))),
                Err(error) => Some(Err(error
                    .downcast::<Error>()
                    .unwrap_or_else(|error| undecodable(&error)))),
            },
        )
    }

    fn chunks(&mut self) -> &mut Chunks {
        self.reader.source().get_mut()
    }

    fn inflated(&self) -> Error {
        let detail = format!("more than {} bytes once decoded", self.budget);
        Error::exchange(Reason::ResponseInflated, detail)
    }
}

impl Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Brotli(reader) => poll_read_buf(Pin::new(reader), cx, buffer),
            Self::Deflate(reader) => poll_read_buf(Pin::new(reader), cx, buffer),
            Self::Gzip(reader) => poll_read_buf(Pin::new(reader), cx, buffer),
        }
    }

    fn source(&mut self) -> &mut Source {
        match self {
            Self::Brotli(reader) => reader.get_mut(),
            Self::Deflate(reader) => reader.get_mut(),
            Self::Gzip(reader) => reader.get_mut(),
        }
    }
}

/// A body as a stream, for the decoder to read from.
struct Chunks {
    wire: Wire,
    /// How many more may be read before the task yields. A body can be long and decode to nothing (empty
    /// members, one after the other): the decoder reads on, and its caller could not look at the clock.
    at_once: usize,
    /// No byte was read yet of a body by this coding.
    beginning: Option<Coding>,
}

impl Chunks {
    fn new(wire: Wire, coding: Coding) -> Self {
        Self {
            wire,
            at_once: DECODE_CHUNKS,
            beginning: Some(coding),
        }
    }

    fn check_beginning(&mut self, chunk: &[u8]) -> io::Result<()> {
        match (self.beginning.take(), chunk.first()) {
            (Some(Coding::Brotli), Some(first)) if first & LARGE_WINDOW_BITS == LARGE_WINDOW => {
                Err(io::Error::other(invalid(
                    "a Brotli window larger than RFC 7932 knows",
                )))
            }
            _ => Ok(()),
        }
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = self.at_once.checked_sub(1) else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        self.at_once = left;
        let Some(chunk) = ready!(self.wire.poll_chunk(cx)) else {
            return Poll::Ready(None);
        };
        let chunk = chunk.map_err(io::Error::other);
        Poll::Ready(Some(chunk.and_then(|chunk| {
            self.check_beginning(&chunk)?;
            Ok(chunk)
        })))
    }
}

/// The first bits of a stream with a "large window", which the decoder takes although no content coding
/// has it: it would hold up to 1 GiB of history instead of 16 MiB.
const LARGE_WINDOW: u8 = 0b001_0001;
const LARGE_WINDOW_BITS: u8 = 0b111_1111;

fn undecodable(error: &io::Error) -> Error {
    invalid(&format!("the body does not decode: {error}"))
}

fn invalid(detail: &str) -> Error {
    Error::exchange(Reason::ResponseInvalid, detail)
}
