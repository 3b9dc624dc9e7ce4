//! Reading a request: as little as is needed to log it.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt},
    time::{Instant, timeout},
};

use crate::limits::{BODY_BYTES, BODY_KEPT, HEAD_BYTES, HEAD_WAIT};

/// A request that a server saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Which connection of the server it came on, counted from 1: the same number means that the
    /// connection was kept.
    pub connection: u64,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The server name of the TLS handshake.
    pub sni: Option<String>,
    /// The method.
    pub method: String,
    /// The request target as written: a path, or a whole URL from a client that takes us for a proxy.
    pub target: String,
    /// Names in lower case, values as written, in order.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, decoded when it came in chunks.
    pub body: Vec<u8>,
    /// When, on tokio's clock.
    pub at: Instant,
}

impl Seen {
    /// The first header with this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }

    pub(super) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub(super) fn keeps_alive(&self) -> bool {
        !self
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads the next request; none at the end of the connection.
pub(super) async fn read(
    stream: &mut (impl AsyncBufRead + Unpin),
    connection: u64,
    peer: SocketAddr,
    sni: Option<&str>,
) -> io::Result<Option<Seen>> {
    let head = timeout(HEAD_WAIT, read_head(stream)).await??;
    let Some(mut seen) = head.and_then(|head| parse(&head, connection, peer, sni)) else {
        return Ok(None);
    };
    seen.body = read_body(stream, &seen).await?;
    Ok(Some(seen))
}

/// The lines up to the empty one.
async fn read_head(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<String>>> {
    let mut lines = Vec::new();
    let mut left = HEAD_BYTES;
    loop {
        let line = read_line(stream, left).await?;
        left = left.saturating_sub(line.len());
        match line.trim_end_matches(['\r', '\n']) {
            "" if line.is_empty() => return Ok(None),
            "" if !lines.is_empty() => return Ok(Some(lines)),
            "" => {}
            text => lines.push(text.to_owned()),
        }
    }
}

async fn read_line(stream: &mut (impl AsyncBufRead + Unpin), limit: usize) -> io::Result<String> {
    let mut line = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    (&mut *stream)
        .take(limit)
        .read_until(b'\n', &mut line)
        .await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn parse(head: &[String], connection: u64, peer: SocketAddr, sni: Option<&str>) -> Option<Seen> {
    let (first, rest) = head.split_first()?;
    let mut words = first.split(' ');
    let headers = rest.iter().filter_map(|line| line.split_once(':'));
    Some(Seen {
        connection,
        peer,
        sni: sni.map(str::to_owned),
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: Vec::new(),
        at: Instant::now(),
    })
}

async fn read_body(stream: &mut (impl AsyncBufRead + Unpin), seen: &Seen) -> io::Result<Vec<u8>> {
    let chunked = seen
        .header("transfer-encoding")
        .is_some_and(|coding| coding.contains("chunked"));
    let mut body = Vec::new();
    if !chunked {
        let length = seen
            .header("content-length")
            .and_then(|length| length.parse().ok());
        read_octets(stream, length.unwrap_or(0), &mut body).await?;
        return Ok(body);
    }
    let mut total = 0_u64;
    loop {
        let line = read_line(stream, HEAD_BYTES).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        total = total.saturating_add(size);
        if total > BODY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        read_octets(stream, size, &mut body).await?;
        read_line(stream, HEAD_BYTES).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Reads all of them, keeps the first ones.
async fn read_octets(
    stream: &mut (impl AsyncBufRead + Unpin),
    length: u64,
    kept: &mut Vec<u8>,
) -> io::Result<()> {
    if length > BODY_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut body = stream.take(length);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = body.read(&mut buffer).await?;
        if count == 0 {
            return if body.limit() == 0 {
                Ok(())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        let room = BODY_KEPT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}
