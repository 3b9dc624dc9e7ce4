//! PROXY header, versions 1 and 2: who is behind a load balancer, by the word of those who may give it.

use std::{io, net::SocketAddr};

use bytes::{BufMut, BytesMut};
use ppp::{v1, v2};
use tokio::io::AsyncReadExt;

use super::{Stream, door::plain, opening::Rewound};

/// Whom a header speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Behind {
    /// A client, there.
    Client(SocketAddr),
    /// The sender itself (`LOCAL`, for its health checks), or somebody of whom it knows no address (`UNKNOWN`,
    /// `UNSPEC`, a Unix socket): the address of the sender counts.
    Sender,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHeader {
    /// The connection broke or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin with one.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It begins with one that is broken.
    #[error("{0}")]
    Invalid(String),
}

/// Takes the header off a stream. The caller bounds the time.
pub(crate) async fn take<S: Stream>(mut stream: S) -> Result<(Behind, Rewound<S>), NoHeader> {
    let mut seen = BytesMut::with_capacity(FIRST_READ);
    loop {
        if let Some((behind, length)) = parse(&seen)? {
            let rest = seen.split_off(length).freeze();
            return Ok((behind, Rewound::new(rest, stream)));
        }
        // `parse` has refused what is longer, so that there is always room.
        let room = V2_LONGEST.saturating_sub(seen.len());
        if stream.read_buf(&mut (&mut seen).limit(room)).await? == 0 {
            return Err(match seen.is_empty() {
                true => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                false => NoHeader::Invalid("the header ends early".into()),
            });
        }
    }
}

/// The header and its length, once all of it is there.
fn parse(seen: &[u8]) -> Result<Option<(Behind, usize)>, NoHeader> {
    if begins(seen, v2::PROTOCOL_PREFIX) {
        return version_2(seen);
    }
    match begins(seen, V1_PREFIX) {
        true => version_1(seen),
        false => Err(NoHeader::Missing),
    }
}

/// Whether it is the mark, or may become it.
fn begins(seen: &[u8], mark: &[u8]) -> bool {
    seen.starts_with(mark) || mark.starts_with(seen)
}

/// A line. Only a whole one is parsed: half a number is a number too.
fn version_1(seen: &[u8]) -> Result<Option<(Behind, usize)>, NoHeader> {
    let line = seen.get(..V1_LONGEST).unwrap_or(seen);
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return match seen.len() < V1_LONGEST {
            true => Ok(None),
            false => Err(NoHeader::Invalid(
                "the line is longer than 107 bytes".into(),
            )),
        };
    };
    let length = end.saturating_add(2);
    let line = seen.get(..length).unwrap_or(seen);
    let header = v1::Header::try_from(line).map_err(invalid)?;
    let behind = match header.addresses {
        v1::Addresses::Tcp4(ip) => client((ip.source_address, ip.source_port)),
        v1::Addresses::Tcp6(ip) => client((ip.source_address, ip.source_port)),
        v1::Addresses::Unknown => Behind::Sender,
    };
    Ok(Some((behind, length)))
}

fn version_2(seen: &[u8]) -> Result<Option<(Behind, usize)>, NoHeader> {
    let declared = match seen.get(V2_LENGTH) {
        None => return Ok(None),
        Some(two) => two
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
    };
    let length = V2_FIXED.saturating_add(declared);
    if length > V2_LONGEST {
        let problem = format!("{length} bytes, at most {V2_LONGEST} are taken");
        return Err(NoHeader::Invalid(problem));
    }
    let Some(whole) = seen.get(..length) else {
        return Ok(None);
    };
    let header = v2::Header::try_from(whole).map_err(invalid)?;
    behind(&header).map(|behind| Some((behind, length)))
}

fn behind(header: &v2::Header<'_>) -> Result<Behind, NoHeader> {
    if header.command == v2::Command::Local {
        return Ok(Behind::Sender);
    }
    match (header.protocol, header.addresses) {
        (v2::Protocol::Datagram, _) => Err(NoHeader::Invalid("it is about datagrams".into())),
        (_, v2::Addresses::IPv4(ip)) => Ok(client((ip.source_address, ip.source_port))),
        (_, v2::Addresses::IPv6(ip)) => Ok(client((ip.source_address, ip.source_port))),
        (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Ok(Behind::Sender),
    }
}

fn client(address: impl Into<SocketAddr>) -> Behind {
    Behind::Client(plain(address.into()))
}

fn invalid(error: impl std::error::Error) -> NoHeader {
    NoHeader::Invalid(error.to_string())
}

const V1_PREFIX: &[u8] = b"PROXY ";
/// The line end included: the longest that the specification knows.
const V1_LONGEST: usize = 107;
/// Mark, version, family, length.
const V2_FIXED: usize = 16;
/// Where the length stands.
const V2_LENGTH: std::ops::Range<usize> = 14..16;
/// The specification allows 64 KiB of extensions; those that exist take some hundred bytes.
const V2_LONGEST: usize = 4 << 10;
const FIRST_READ: usize = 256;
