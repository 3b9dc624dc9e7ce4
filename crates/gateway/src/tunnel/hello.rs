//! What a client opens with: TLS or not, and for which name. No I/O.

use rustls::server::Acceptor;

/// How a client opens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Opening {
    /// With something else than TLS.
    NotTls,
    /// With TLS, for this name: in lower case, without the root dot. None when it gives none, or an address, which
    /// servers ignore (RFC 6066, section 3).
    Tls(Option<String>),
    /// With what may be TLS, and is not shown to be: why.
    Unreadable(&'static str),
}

/// Reads an opening, however it is cut into pieces and records.
///
/// With Encrypted ClientHello the name is the outer one, which names who decrypts. The inner one cannot be seen by
/// anybody between.
#[derive(Default)]
pub struct Opener {
    acceptor: Acceptor,
    /// How many bytes the acceptor has.
    fed: usize,
}

impl Opener {
    /// Looks at all bytes so far; none when more are needed. Not to be asked again after an answer.
    pub fn look(&mut self, bytes: &[u8]) -> Option<Opening> {
        match bytes {
            [] => None,
            [length, ..] if length & OLD_RECORD != 0 => old(bytes),
            [kind, ..] if !CONTENT_TYPES.contains(kind) => Some(Opening::NotTls),
            [_] => None,
            [_, major, ..] if *major >= NO_MAJOR_VERSION => Some(Opening::NotTls),
            [HANDSHAKE, ..] => self.read(bytes),
            _ => Some(Opening::Unreadable("it begins with no handshake")),
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Option<Opening> {
        let mut rest = bytes.get(self.fed..)?;
        while !rest.is_empty() {
            match self.acceptor.read_tls(&mut rest) {
                Ok(read) if read > 0 => self.fed += read,
                _ => return Some(Opening::Unreadable("its records do not end")),
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Some(named(accepted.client_hello().server_name())),
                Err(_) => return Some(Opening::Unreadable("its first message is not understood")),
            }
        }
        None
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("fed", &self.fed)
            .finish_non_exhaustive()
    }
}

/// A hello in the form of SSL 2, for the versions after it: lenient servers still take it, and no name is in it.
fn old(bytes: &[u8]) -> Option<Opening> {
    match bytes {
        [_] | [_, _] | [_, _, OLD_HELLO] => None,
        [_, _, OLD_HELLO, 0x00 | 0x03, ..] => Some(Opening::Unreadable("it is a hello of SSL 2")),
        _ => Some(Opening::NotTls),
    }
}

fn named(name: Option<&str>) -> Opening {
    let canonical = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
    };
    Opening::Tls(name.map(canonical))
}

/// The first byte of a record of TLS. Servers differ in what they skip before the first handshake (alerts, say), so
/// anything that could be a record counts as TLS, and must then be readable.
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 0x14..=0x18;

/// Of the first byte of a record of SSL 2; its other bits and the next byte are the length.
const OLD_RECORD: u8 = 0x80;

/// The third byte of a hello of SSL 2, before the version.
const OLD_HELLO: u8 = 0x01;

const HANDSHAKE: u8 = 0x16;

/// No version of TLS has a major number from here on, and lenient servers stop here. It leaves to other protocols
/// most of what happens to begin like a record.
const NO_MAJOR_VERSION: u8 = 0x10;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
