//! Writing a page.

use std::{fmt::Write as _, future::pending, io, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::sleep,
};

use super::{Coding, Page, Seen, gzip::Bomb, page::Content};
use crate::limits::ENDLESS_BYTES;

/// What an endless page sends at a time.
const PIECE: usize = 16 << 10;
/// Units of a bomb that are sent at a time.
const UNITS: usize = 256;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flow {
    Keep,
    Close,
}

/// Sends the page that answers a request.
pub(super) async fn respond(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    seen: &Seen,
) -> io::Result<Flow> {
    let flow = match &page.content {
        Content::Octets(octets) => honest(stream, page, seen, octets).await?,
        Content::Echo => honest(stream, page, seen, echo(seen).as_bytes()).await?,
        Content::Chunked(octets) => chunked(stream, page, seen, octets).await?,
        Content::Endless => endless(stream, page).await?,
        Content::SlowHeaders(interval) => slow_headers(stream, page, *interval).await?,
        Content::SlowBody(interval) => slow_body(stream, page, *interval).await?,
        Content::Bomb(coding) => bomb(stream, page, *coding).await?,
        Content::HugeHeaders(bytes) => huge_headers(stream, page, *bytes).await?,
        Content::WrongLength { claimed, sent } => {
            wrong_length(stream, page, *claimed, *sent).await?
        }
        Content::EarlyClose => early_close(stream, page).await?,
        Content::Silence => pending().await,
        Content::Raw { octets, open } => raw(stream, octets, *open).await?,
    };
    stream.flush().await?;
    Ok(flow)
}

fn head(page: &Page) -> String {
    let mut head = format!("HTTP/1.1 {} Lab\r\n", page.status);
    for (name, value) in &page.headers {
        // Writing to a string does not fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head
}

async fn honest(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    seen: &Seen,
    body: &[u8],
) -> io::Result<Flow> {
    let head = format!("{}content-length: {}\r\n\r\n", head(page), body.len());
    let mut response = head.into_bytes();
    if seen.method != "HEAD" {
        response.extend_from_slice(body);
    }
    stream.write_all(&response).await?;
    Ok(after(seen))
}

fn after(seen: &Seen) -> Flow {
    if seen.keeps_alive() {
        Flow::Keep
    } else {
        Flow::Close
    }
}

fn echo(seen: &Seen) -> String {
    let mut text = format!("{} {} HTTP/1.1\n", seen.method, seen.target);
    for (name, value) in &seen.headers {
        let _ = writeln!(text, "{name}: {value}");
    }
    let _ = write!(text, "\n{}", String::from_utf8_lossy(&seen.body));
    text
}

async fn chunked(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    seen: &Seen,
    body: &[u8],
) -> io::Result<Flow> {
    let mut response = format!("{}\r\n", head(page)).into_bytes();
    if seen.method != "HEAD" {
        for chunk in body.chunks(8) {
            response.extend(format!("{:x}\r\n", chunk.len()).bytes());
            response.extend_from_slice(chunk);
            response.extend_from_slice(b"\r\n");
        }
        response.extend_from_slice(b"0\r\n\r\n");
    }
    stream.write_all(&response).await?;
    Ok(after(seen))
}

async fn endless(stream: &mut (impl AsyncWrite + Unpin), page: &Page) -> io::Result<Flow> {
    stream
        .write_all(format!("{}\r\n", head(page)).as_bytes())
        .await?;
    let piece = vec![b'x'; PIECE];
    let mut sent = 0_u64;
    while sent < ENDLESS_BYTES {
        stream.write_all(&piece).await?;
        sent += u64::try_from(PIECE).unwrap_or(u64::MAX);
    }
    Ok(Flow::Close)
}

async fn slow_headers(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    interval: Duration,
) -> io::Result<Flow> {
    stream.write_all(head(page).as_bytes()).await?;
    slowly(stream, interval, b"x-more: x\r\n").await
}

async fn slow_body(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    interval: Duration,
) -> io::Result<Flow> {
    stream
        .write_all(format!("{}\r\n", head(page)).as_bytes())
        .await?;
    slowly(stream, interval, b"x").await
}

/// Ends with the life of the connection.
async fn slowly(
    stream: &mut (impl AsyncWrite + Unpin),
    interval: Duration,
    piece: &[u8],
) -> io::Result<Flow> {
    loop {
        stream.write_all(piece).await?;
        stream.flush().await?;
        sleep(interval).await;
    }
}

async fn bomb(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    coding: Coding,
) -> io::Result<Flow> {
    stream
        .write_all(format!("{}\r\n", head(page)).as_bytes())
        .await?;
    let mut bomb = match coding {
        Coding::Gzip => Bomb::gzip(),
        Coding::Deflate => Bomb::zlib(),
    };
    stream.write_all(&bomb.unit()).await?;
    let piece = bomb.unit().repeat(UNITS);
    let mut sent = 0_u64;
    while sent < ENDLESS_BYTES {
        stream.write_all(&piece).await?;
        sent += u64::try_from(piece.len()).unwrap_or(u64::MAX);
    }
    Ok(Flow::Close)
}

async fn huge_headers(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    bytes: usize,
) -> io::Result<Flow> {
    let line = format!("x-filler: {}\r\n", "x".repeat(1000));
    let filler = line.repeat(bytes / line.len() + 1);
    let response = format!("{}{filler}content-length: 0\r\n\r\n", head(page));
    stream.write_all(response.as_bytes()).await?;
    Ok(Flow::Close)
}

async fn wrong_length(
    stream: &mut (impl AsyncWrite + Unpin),
    page: &Page,
    claimed: u64,
    sent: usize,
) -> io::Result<Flow> {
    let body = "x".repeat(sent);
    let response = format!("{}content-length: {claimed}\r\n\r\n{body}", head(page));
    stream.write_all(response.as_bytes()).await?;
    let longer = u64::try_from(sent).is_ok_and(|sent| sent > claimed);
    Ok(if longer { Flow::Keep } else { Flow::Close })
}

async fn early_close(stream: &mut (impl AsyncWrite + Unpin), page: &Page) -> io::Result<Flow> {
    stream
        .write_all(format!("{}x-cut", head(page)).as_bytes())
        .await?;
    Ok(Flow::Close)
}

async fn raw(
    stream: &mut (impl AsyncWrite + Unpin),
    octets: &[u8],
    open: bool,
) -> io::Result<Flow> {
    stream.write_all(octets).await?;
    Ok(if open { Flow::Keep } else { Flow::Close })
}
