//! One response, honest or not.

use std::time::Duration;

use super::gzip;

/// What is answered to a request.
///
/// # Example
///
/// ```
/// use pinfold_lab::http::Page;
///
/// let page = Page::text("hello").header("set-cookie", "id=1");
/// let moved = Page::redirect(307, "http://internal.lab.example.com/");
/// # let _ = (page, moved);
/// ```
#[derive(Clone, Debug)]
pub struct Page {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Octets(Vec<u8>),
    Chunked(Vec<u8>),
    Echo,
    Endless,
    SlowHeaders(Duration),
    SlowBody(Duration),
    Bomb(Coding),
    HugeHeaders(usize),
    WrongLength { claimed: u64, sent: usize },
    EarlyClose,
    Silence,
    Raw { octets: Vec<u8>, open: bool },
}

/// How a bomb is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Coding {
    /// `Content-Encoding: gzip` (RFC 1952).
    Gzip,
    /// `Content-Encoding: deflate` (RFC 1950).
    Deflate,
}

impl Page {
    /// Status 200 and a text.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::octets(text).header("content-type", "text/plain")
    }

    /// Status 200 and a body, of which no header says what it is.
    pub fn octets(octets: impl Into<Vec<u8>>) -> Self {
        Self::new(Content::Octets(octets.into()))
    }

    /// A redirect with this status and `Location`, sent as it is.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(Content::Octets(Vec::new()))
            .status(status)
            .header("location", location)
    }

    /// The request as it came: request line, headers, body.
    pub fn echo() -> Self {
        Self::new(Content::Echo).header("content-type", "text/plain")
    }

    /// A text in chunks of eight octets.
    pub fn chunked(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Content::Chunked(text.into())).header("transfer-encoding", "chunked")
    }

    /// A text as valid gzip (stored, not compressed).
    pub fn gzip(text: &[u8]) -> Self {
        Self::new(Content::Octets(gzip::stored(text))).header("content-encoding", "gzip")
    }

    /// A body that does not end, as fast as the client reads.
    pub fn endless() -> Self {
        Self::new(Content::Endless)
    }

    /// A status line, then one more header line each `interval`, without end.
    pub fn slow_headers(interval: Duration) -> Self {
        Self::new(Content::SlowHeaders(interval))
    }

    /// Headers at once, then one octet of body each `interval`, without end.
    pub fn slow_body(interval: Duration) -> Self {
        Self::new(Content::SlowBody(interval))
    }

    /// A compressed body that becomes 158 times as large when it is decoded, without end.
    pub fn bomb(coding: Coding) -> Self {
        let name = match coding {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        };
        Self::new(Content::Bomb(coding)).header("content-encoding", name)
    }

    /// So many bytes of headers.
    pub fn huge_headers(bytes: usize) -> Self {
        Self::new(Content::HugeHeaders(bytes))
    }

    /// A `Content-Length` of `claimed`, and a body of `sent` octets; the connection stays open when
    /// the body is longer than claimed, and is closed when it is shorter.
    pub fn wrong_length(claimed: u64, sent: usize) -> Self {
        Self::new(Content::WrongLength { claimed, sent })
    }

    /// Closes the connection in the middle of the headers.
    pub fn early_close() -> Self {
        Self::new(Content::EarlyClose)
    }

    /// Reads the request and never answers.
    pub fn silence() -> Self {
        Self::new(Content::Silence)
    }

    /// These octets and nothing else; then the connection is closed.
    pub fn raw(octets: impl Into<Vec<u8>>) -> Self {
        Self::new(Content::Raw {
            octets: octets.into(),
            open: false,
        })
    }

    /// These octets and nothing else; the connection stays open for the next request.
    pub fn raw_open(octets: impl Into<Vec<u8>>) -> Self {
        Self::new(Content::Raw {
            octets: octets.into(),
            open: true,
        })
    }

    /// Sets the status. Default: 200.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header, sent as it is.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn new(content: Content) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            content,
        }
    }
}
