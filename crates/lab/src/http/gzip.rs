//! Compressed bodies without a compressor: small honest ones, and bombs that need no memory to send.

/// The header of a gzip member (RFC 1952): deflate, no flags, no time, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The header of a zlib stream (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];

/// Copies made by one [`Bomb::unit`]: eight of 13 bits, which are 13 whole octets.
const COPIES: u16 = 8;

/// A deflate stream (RFC 1951) of zeros that never ends: one block of fixed codes, one literal
/// zero, then copies of the longest length, 258 octets for 13 bits.
pub(super) struct Bomb {
    bits: Bits,
}

impl Bomb {
    pub(super) fn gzip() -> Self {
        Self::after(&GZIP_HEADER)
    }

    pub(super) fn zlib() -> Self {
        Self::after(&ZLIB_HEADER)
    }

    /// The next 13 octets or so, which decode to 2064 zeros.
    pub(super) fn unit(&mut self) -> Vec<u8> {
        for _ in 0..COPIES {
            self.bits.code(0b1100_0101, 8); // length 258
            self.bits.code(0b0_0000, 5); // distance 1
        }
        self.bits.take()
    }

    fn after(header: &[u8]) -> Self {
        let mut bits = Bits {
            whole: header.to_vec(),
            partial: 0,
            filled: 0,
        };
        bits.bit(1); // the last block
        bits.bit(1); // of fixed codes: 01, low bit first
        bits.bit(0);
        bits.code(0b0011_0000, 8); // the literal 0
        Self { bits }
    }
}

/// Bits to octets, low bit first; codes with their high bit first, as deflate wants it.
struct Bits {
    whole: Vec<u8>,
    partial: u8,
    filled: u8,
}

impl Bits {
    fn bit(&mut self, bit: u8) {
        self.partial |= (bit & 1) << self.filled;
        self.filled += 1;
        if self.filled == 8 {
            self.whole.push(self.partial);
            (self.partial, self.filled) = (0, 0);
        }
    }

    fn code(&mut self, code: u8, length: u8) {
        for place in (0..length).rev() {
            self.bit(code >> place);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.whole)
    }
}

/// Valid gzip that stores `text` as it is.
pub(super) fn stored(text: &[u8]) -> Vec<u8> {
    let mut member = GZIP_HEADER.to_vec();
    let mut blocks = text.chunks(usize::from(u16::MAX)).peekable();
    if blocks.peek().is_none() {
        block(&mut member, &[], true);
    }
    while let Some(octets) = blocks.next() {
        block(&mut member, octets, blocks.peek().is_none());
    }
    let length = u32::try_from(text.len() & 0xffff_ffff).unwrap_or_default();
    member.extend(crc32(text).to_le_bytes());
    member.extend(length.to_le_bytes());
    member
}

fn block(member: &mut Vec<u8>, octets: &[u8], last: bool) {
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    member.push(u8::from(last));
    member.extend(length.to_le_bytes());
    member.extend((!length).to_le_bytes());
    member.extend(octets);
}

fn crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_unit_of_the_bomb_repeats() {
        let mut bomb = Bomb::gzip();
        let first = bomb.unit();
        let second = bomb.unit();
        assert_eq!(second.len(), 13);
        assert_eq!(second, bomb.unit());
        assert!(first.starts_with(&GZIP_HEADER));
    }
}
