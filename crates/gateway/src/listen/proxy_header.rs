//! PROXY header, versions 1 and 2: who is behind a load balancer, by the word of those who may give it.

use std::{io, net::SocketAddr};

use bytes::{BufMut, BytesMut};
use ppp::{v1, v2};
use tokio::io::AsyncReadExt;

use super::{Stream, door::plain, opening::Rewound};

/// Whom a header speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Behind {
    /// A client, there.
    Client(SocketAddr),
    /// The sender itself (`LOCAL`, for its health checks), or somebody of whom it knows no address (`UNKNOWN`,
    /// `UNSPEC`, a Unix socket): the address of the sender counts.
    Sender,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoHeader {
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

/// The header and its length, once all of it is there; none until then.
///
/// # Errors
///
/// When it is no header, or becomes none.
pub fn parse(seen: &[u8]) -> Result<Option<(Behind, usize)>, NoHeader> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(family: u8, length: u8, body: &[u8]) -> Vec<u8> {
        let fixed = [0x21, family, 0, length];
        [v2::PROTOCOL_PREFIX, &fixed, body].concat()
    }

    #[test]
    fn a_header_is_taken_whole_and_nothing_behind_it() {
        let mapped = "PROXY TCP6 ::ffff:192.0.2.1 ::1 9 443\r\n";
        let rows: [(&str, Vec<u8>, Behind); 6] = [
            (
                "v1",
                b"PROXY TCP4 192.0.2.1 192.0.2.2 9 443\r\n".to_vec(),
                client(([192, 0, 2, 1], 9)),
            ),
            ("v1, mapped", mapped.into(), client(([192, 0, 2, 1], 9))),
            (
                "v1, unknown",
                b"PROXY UNKNOWN a b c\r\n".to_vec(),
                Behind::Sender,
            ),
            (
                "v2",
                v2(0x11, 12, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 9, 1, 187]),
                client(([192, 0, 2, 1], 9)),
            ),
            (
                "v2 with an extension",
                v2(
                    0x11,
                    15,
                    &[192, 0, 2, 1, 192, 0, 2, 2, 0, 9, 1, 187, 4, 0, 0],
                ),
                client(([192, 0, 2, 1], 9)),
            ),
            ("v2 of no family", v2(0, 0, &[]), Behind::Sender),
        ];
        for (row, header, expected) in rows {
            for end in 0..header.len() {
                let part = parse(&header[..end]);
                assert!(
                    matches!(part, Ok(None)),
                    "{row}: {end} bytes of it: {part:?}"
                );
            }
            for behind in [&b""[..], b"\r\n", b"PROXY ", b"\0"] {
                let parsed = parse(&[&header, behind].concat()).unwrap();
                assert_eq!(parsed, Some((expected, header.len())), "{row}");
            }
        }
    }

    #[test]
    fn bytes_that_changed_on_the_way_panic_nowhere() {
        let headers = [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 9 443\r\n".to_vec(),
            v2(0x11, 12, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 9, 1, 187]),
            v2(0x31, 216, &[0; 216]),
        ];
        for header in headers {
            for at in 0..header.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = header.clone();
                    changed[at] = byte;
                    let _ = parse(&changed);
                    let _ = parse(&changed[..at]);
                }
            }
        }
    }
}
