//! The head of an HTTP/1 request, read strictly: what two readers could take for two different requests is refused.
//!
//! The server library that parses the request afterwards is lenient where the RFC lets it be: it takes `LF` for
//! `CRLF`, drops `Content-Length` beside `Transfer-Encoding`, ignores a second equal length. All that is right for a
//! server and wrong for a proxy, whose reading another server trusts. So each head passes here first; what is let
//! through reads the same for everybody.
//!
//! Pure functions over bytes: no I/O, no panic on any input.

use crate::refusal::{Kind, Refusal};

/// What may come as a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes, from the first of the request line to the empty line.
    pub(crate) bytes: usize,
    /// Fields.
    pub(crate) fields: usize,
}

/// A head that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) body: Body,
    /// Whether what follows may be another protocol (`CONNECT`, `Upgrade`): no request is read after this one.
    pub(crate) last: bool,
}

/// How the body is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Body {
    Length(u64),
    Chunked,
}

/// Looks for the end of a head in `bytes`, of which `scanned` were looked at before: its length, when it is there.
pub(crate) fn find_end(
    bytes: &[u8],
    scanned: usize,
    bounds: Bounds,
) -> Result<Option<usize>, Refusal> {
    for (at, _) in bytes
        .iter()
        .enumerate()
        .skip(scanned)
        .filter(|(_, byte)| **byte == b'\n')
    {
        let line = bytes.get(..=at).unwrap_or_default();
        if !line.ends_with(b"\r\n") {
            return Err(malformed("line-ending", "end each line with CR LF"));
        }
        if line.ends_with(b"\r\n\r\n") {
            return within(at + 1, bounds).map(|()| Some(at + 1));
        }
    }
    within(bytes.len(), bounds).map(|()| None)
}

/// Reads a head that ends with an empty line.
pub(crate) fn read(bytes: &[u8], bounds: Bounds) -> Result<Head, Refusal> {
    let text = bytes.strip_suffix(b"\r\n\r\n").unwrap_or(bytes);
    let mut lines = Lines(Some(text));
    let line = RequestLine::read(lines.next().unwrap_or_default())?;
    let mut framing = Framing::default();
    for (count, line) in lines.enumerate() {
        if count >= bounds.fields {
            return Err(oversized("headers-too-many", "send fewer header fields"));
        }
        let (name, value) = field(line)?;
        framing.note(name, value)?;
    }
    framing.decide(line)
}

#[derive(Clone, Copy)]
struct RequestLine {
    connect: bool,
    /// HTTP/1.0.
    old: bool,
}

impl RequestLine {
    /// `method SP target SP HTTP/1.x`, single spaces, and nothing but visible ASCII.
    fn read(line: &[u8]) -> Result<Self, Refusal> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(request_line());
        };
        if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(request_line());
        }
        if http::Uri::try_from(target).is_err() {
            let hint = "send an absolute URL, or `host:port` with `CONNECT`";
            return Err(malformed("target-invalid", hint));
        }
        let old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => {
                let hint = "speak HTTP/1.1, HTTP/1.0 or HTTP/2";
                return Err(malformed("version-unsupported", hint));
            }
        };
        Ok(Self {
            connect: method == b"CONNECT",
            old,
        })
    }
}

/// Name and value of a field line.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(malformed("header-folded", "write each field on one line"));
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) else {
        return Err(field_name());
    };
    if !is_token(name) {
        return Err(field_name());
    }
    let value = value.strip_prefix(b":").unwrap_or(value);
    match value.iter().all(|byte| is_field_byte(*byte)) {
        true => Ok((name, value.trim_ascii())),
        false => Err(malformed(
            "header-value-invalid",
            "remove control characters from field values",
        )),
    }
}

/// What the fields say about the body, and about what follows.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    upgrade: bool,
}

impl Framing {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.coding(value)
        } else if name.eq_ignore_ascii_case(b"host") {
            self.host()
        } else if FRAMING
            .iter()
            .any(|framing| is_spelled_alike(name, framing))
        {
            // Servers that make variables of fields take one for the other (CGI, RFC 3875, 4.1.18).
            let hint = "write `-` in the names of fields that frame the message, not `_`";
            Err(malformed("header-name-ambiguous", hint))
        } else {
            self.upgrade |= name.eq_ignore_ascii_case(b"upgrade");
            Ok(())
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(malformed("length-repeated", "send one `Content-Length`"));
        }
        self.length =
            Some(number(value).ok_or_else(|| {
                malformed("length-invalid", "`Content-Length` is a decimal number")
            })?);
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            let hint = "send one `Transfer-Encoding`, and `chunked` alone";
            return Err(malformed("transfer-coding-unsupported", hint));
        }
        self.chunked = true;
        Ok(())
    }

    fn host(&mut self) -> Result<(), Refusal> {
        self.hosts += 1;
        match self.hosts {
            1 => Ok(()),
            _ => Err(malformed("host-repeated", "send one `Host`")),
        }
    }

    fn decide(&self, line: RequestLine) -> Result<Head, Refusal> {
        if self.chunked && self.length.is_some() {
            let hint = "send `Content-Length` or `Transfer-Encoding`, not both";
            return Err(malformed("framing-conflict", hint));
        }
        if self.chunked && line.old {
            let hint = "HTTP/1.0 has no `Transfer-Encoding`";
            return Err(malformed("transfer-coding-unsupported", hint));
        }
        let body = match (self.chunked, self.length) {
            (true, _) => Body::Chunked,
            (false, length) => Body::Length(length.unwrap_or(0)),
        };
        if line.connect && body != Body::Length(0) {
            let hint = "`CONNECT` has no body: what follows it goes through the tunnel";
            return Err(malformed("connect-with-body", hint));
        }
        Ok(Head {
            body,
            last: line.connect || self.upgrade,
        })
    }
}

/// Whether a name differs from the other only in that it has `_` for `-`, and in case.
fn is_spelled_alike(name: &[u8], other: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    name.len() == other.len() && name.iter().zip(other).all(same)
}

/// Fields that say where a message ends, or for whom it is.
const FRAMING: [&[u8]; 2] = [b"transfer-encoding", b"content-length"];

/// Lines between `CRLF`; a `CR` elsewhere stays in its line, where no rule lets it pass.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let Some((line, after)) = end.and_then(|at| rest.split_at_checked(at)) else {
            return Some(rest);
        };
        self.0 = after.get(2..);
        Some(line)
    }
}

/// Decimal digits, nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    // The largest lengths mean something else to the parser below.
    text.parse().ok().filter(|length| *length <= LONGEST_BODY)
}

/// A token (RFC 9110, 5.6.2).
fn is_token(text: &[u8]) -> bool {
    let special = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || special(b))
}

/// What may be in a value (RFC 9110, 5.5).
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn within(length: usize, bounds: Bounds) -> Result<(), Refusal> {
    match length <= bounds.bytes {
        true => Ok(()),
        false => Err(oversized(
            "head-too-large",
            "send a shorter URL or fewer headers",
        )),
    }
}

fn request_line() -> Refusal {
    let hint = "a request begins with `METHOD target HTTP/1.1`";
    malformed("request-line-invalid", hint)
}

fn field_name() -> Refusal {
    let hint = "write fields as `Name: value`, without a space before the colon";
    malformed("header-name-invalid", hint)
}

fn malformed(code: &'static str, hint: &'static str) -> Refusal {
    Refusal::new(Kind::Malformed, "request", code).hint(hint)
}

fn oversized(code: &'static str, hint: &'static str) -> Refusal {
    Refusal::new(Kind::Oversized, "request", code).hint(hint)
}

/// Bytes of one body: four exbibytes, so that no sum of lengths overflows.
const LONGEST_BODY: u64 = 1 << 62;

#[cfg(test)]
mod tests;
