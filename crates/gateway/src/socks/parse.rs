//! The messages of SOCKS5 (RFC 1928, RFC 1929), read strictly. No I/O.
//!
//! A reader asks for bytes one step after the other and never for more than the message holds, so that what a client
//! sends after it stays where it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the bytes so far are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read<T> {
    /// The message goes on for at least so many bytes; at least one.
    More(usize),
    /// All of it. There is nothing behind it.
    Done(T),
}

/// Why a message is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Malformed {
    /// SOCKS4: it knows no names (4a aside), and nobody who is authenticated.
    Socks4,
    /// Another version.
    Version,
    /// No method is offered.
    NoMethods,
    /// A reserved byte is not zero.
    Reserved,
    /// An address of a kind that there is not.
    AddressKind,
    /// A name that is empty, or not ASCII.
    Name,
    /// There are bytes behind the message.
    Trailing,
}

/// Which of the methods that we know a client offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Greeting {
    /// Nothing is proved.
    pub none: bool,
    /// User name and password (RFC 1929).
    pub password: bool,
}

/// User name and password, as they came.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Password {
    /// At most 255 bytes.
    pub name: Vec<u8>,
    /// At most 255 bytes.
    pub password: Vec<u8>,
}

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// What is to be done.
    pub command: Command,
    /// With whom.
    pub host: Host,
    /// The port, 0 included.
    pub port: u16,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// `CONNECT`.
    Connect,
    /// `BIND`, `UDP ASSOCIATE`, and what there is not.
    Other(u8),
}

/// With whom.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name, ASCII, at most 255 bytes; what else it is, the parser of targets says.
    Name(String),
}

/// Reads a greeting: version, methods.
///
/// # Errors
///
/// When it is another version, or offers nothing.
pub fn greeting(bytes: &[u8]) -> Result<Read<Greeting>, Malformed> {
    let mut reader = Reader(bytes);
    version(reader.peek())?;
    let Some([_, count]) = reader.array() else {
        return Ok(reader.more(2));
    };
    if count == 0 {
        return Err(Malformed::NoMethods);
    }
    let Some(methods) = reader.take(count.into()) else {
        return Ok(reader.more(count.into()));
    };
    reader.done(Greeting {
        none: methods.contains(&0),
        password: methods.contains(&2),
    })
}

/// Reads user name and password. Either may be empty: whether they are right is not said here.
///
/// # Errors
///
/// When it is another version.
pub fn password(bytes: &[u8]) -> Result<Read<Password>, Malformed> {
    let mut reader = Reader(bytes);
    if reader
        .peek()
        .is_some_and(|version| version != PASSWORD_VERSION)
    {
        return Err(Malformed::Version);
    }
    let Some([_, length]) = reader.array() else {
        return Ok(reader.more(2));
    };
    // The length of the password stands behind the name.
    let Some(name) = reader.take(length.into()) else {
        return Ok(reader.more(usize::from(length) + 1));
    };
    let Some([length]) = reader.array() else {
        return Ok(reader.more(1));
    };
    let Some(password) = reader.take(length.into()) else {
        return Ok(reader.more(length.into()));
    };
    reader.done(Password {
        name: name.into(),
        password: password.into(),
    })
}

/// Reads a request.
///
/// # Errors
///
/// When it is another version, a reserved byte is not zero, the address is of no kind that there is, or a name is empty
/// or not ASCII.
pub fn request(bytes: &[u8]) -> Result<Read<Request>, Malformed> {
    let mut reader = Reader(bytes);
    version(reader.peek())?;
    let Some([_, command, reserved, kind]) = reader.array() else {
        return Ok(reader.more(4));
    };
    if reserved != 0 {
        return Err(Malformed::Reserved);
    }
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => match reader.array() {
            Some([0]) => return Err(Malformed::Name),
            Some([length]) => length.into(),
            None => return Ok(reader.more(1)),
        },
        _ => return Err(Malformed::AddressKind),
    };
    let Some(host) = reader.take(length) else {
        return Ok(reader.more(length + 2));
    };
    let host = host_of(host, kind)?;
    let Some(port) = reader.array() else {
        return Ok(reader.more(2));
    };
    let command = match command {
        CONNECT => Command::Connect,
        other => Command::Other(other),
    };
    reader.done(Request {
        command,
        host,
        port: u16::from_be_bytes(port),
    })
}

fn version(first: Option<u8>) -> Result<(), Malformed> {
    match first {
        None | Some(VERSION) => Ok(()),
        Some(4) => Err(Malformed::Socks4),
        Some(_) => Err(Malformed::Version),
    }
}

fn host_of(bytes: &[u8], kind: u8) -> Result<Host, Malformed> {
    let address = match kind {
        IPV4 => <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into()),
        IPV6 => <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => match std::str::from_utf8(bytes) {
            Ok(name) if name.is_ascii() => return Ok(Host::Name(name.into())),
            _ => return Err(Malformed::Name),
        },
    };
    address
        .map(Host::Address)
        .map_err(|_| Malformed::AddressKind)
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

/// What is left of the bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// So many bytes are needed from here on.
    fn more<T>(&self, needed: usize) -> Read<T> {
        Read::More(needed.saturating_sub(self.0.len()))
    }

    fn done<T>(&self, message: T) -> Result<Read<T>, Malformed> {
        match self.0.is_empty() {
            true => Ok(Read::Done(message)),
            false => Err(Malformed::Trailing),
        }
    }
}

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests;
