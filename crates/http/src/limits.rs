//! Every bound of the client, with its default and its reason.

use std::time::Duration;

/// Bounds of one [`Client`](crate::Client). The terms of the policy only tighten them: the smaller
/// of the two holds.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// let mut limits = pinfold_http::Limits::default();
/// limits.total = Duration::from_secs(5);
/// limits.response_bytes = 1 << 20;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Time for the whole exchange: lookups, connections, redirects, and the last byte of the body.
    /// Default: 30 s.
    pub total: Duration,
    /// Bytes of response body, counted as received and again as decoded. Chunk framing and headers
    /// are not counted; they have bounds of their own. Default: 16 MiB.
    pub response_bytes: u64,
    /// Redirects that are followed; 0 hands the redirect itself to the caller. Default: 5.
    pub redirects: u8,
    /// Bytes of a response head, status line included, 128 KiB at most. Default: 64 KiB. Four times as
    /// many may come with the interim responses (1xx) before it.
    pub head_bytes: usize,
    /// Header fields of a response. Default: 100, which also is what needs no allocation.
    pub headers: usize,
    /// How long a connection is kept without a request. Default: 30 s.
    pub idle: Duration,
    /// Connections kept for one origin at one address. Default: 8.
    pub idle_per_origin: usize,
    /// Connections kept in all; the one that waited longest makes room. Default: 128.
    pub idle_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(30),
            response_bytes: 16 << 20,
            redirects: 5,
            head_bytes: 64 << 10,
            headers: HEADERS_ON_STACK,
            idle: Duration::from_secs(30),
            idle_per_origin: 8,
            idle_total: 128,
        }
    }
}

/// The number of header fields that hyper parses without an allocation.
pub(crate) const HEADERS_ON_STACK: usize = 100;

/// The number of full heads, interim responses included, that a server may send for one response.
pub(crate) const HEADS: u64 = 4;

/// Header fields that a caller may set for a request.
pub(crate) const MAX_HEADERS: usize = 128;

/// The largest read buffer of a connection: how much a server can make us hold unread.
pub(crate) const READ_BUFFER: usize = 128 << 10;

/// How much of a redirect's body is read to keep its connection; beyond it the connection is closed.
pub(crate) const DRAIN_BYTES: u64 = 16 << 10;

/// How long a redirect's body is waited for to keep its connection.
pub(crate) const DRAIN_TIME: Duration = Duration::from_millis(250);

/// Decoded bytes that are produced at a time.
pub(crate) const DECODE_BUFFER: usize = 16 << 10;

/// Chunks of a coded body that are read for one piece of decoded bytes before others have their turn.
pub(crate) const DECODE_CHUNKS: usize = 16;

/// Bytes that `bytes()` reserves on the word of a `Content-Length`; more only as it arrives.
pub(crate) const RESERVE: usize = 256 << 10;
