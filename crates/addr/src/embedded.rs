//! IPv4 addresses inside IPv6 addresses: every form that a kernel, a router or a translator unwraps.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use crate::{Embedding, bits::mask};

/// The lengths that a translation prefix may have (RFC 6052, 2.2).
pub(crate) const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// Every IPv4 address inside `ip`, without repetitions. `nat64` are the operator's prefixes.
pub(crate) fn embedded(ip: Ipv6Addr, nat64: &[Ipv6Net]) -> Vec<(Embedding, Ipv4Addr)> {
    let mut found = Vec::new();
    let fixed = FORMS
        .iter()
        .filter(|form| form.holds(ip))
        .map(|form| (form.embedding, (form.extract)(ip)));
    let translated =
        nat64_lengths(ip, nat64).map(|length| (Embedding::Nat64, nat64_extract(ip, length)));
    let isatap = isatap(ip).map(|inner| (Embedding::Isatap, inner));
    for each in fixed.chain(translated).chain(isatap) {
        if !found.contains(&each) {
            found.push(each);
        }
    }
    found
}

/// A form that a fixed prefix announces.
struct Form {
    first: Ipv6Addr,
    length: u8,
    embedding: Embedding,
    extract: fn(Ipv6Addr) -> Ipv4Addr,
}

const FORMS: &[Form] = &[
    Form::new(
        [0, 0, 0, 0, 0, 0xffff, 0, 0],
        96,
        Embedding::Mapped,
        last_32,
    ),
    Form::new([0, 0, 0, 0, 0, 0, 0, 0], 96, Embedding::Compatible, last_32),
    Form::new([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Embedding::Siit, last_32),
    Form::new(
        [0x64, 0xff9b, 0, 0, 0, 0, 0, 0],
        96,
        Embedding::Nat64,
        last_32,
    ),
    Form::new(
        [0x2002, 0, 0, 0, 0, 0, 0, 0],
        16,
        Embedding::SixToFour,
        |ip| from_bit(ip, 16),
    ),
    Form::new(
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        32,
        Embedding::TeredoServer,
        |ip| from_bit(ip, 32),
    ),
    // Stored inverted, so that translators on the way do not rewrite it (RFC 4380, 4).
    Form::new(
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        32,
        Embedding::TeredoClient,
        |ip| !last_32(ip),
    ),
];

impl Form {
    const fn new(
        first: [u16; 8],
        length: u8,
        embedding: Embedding,
        extract: fn(Ipv6Addr) -> Ipv4Addr,
    ) -> Self {
        Self {
            first: Ipv6Addr::from_segments(first),
            length,
            embedding,
            extract,
        }
    }

    fn holds(&self, ip: Ipv6Addr) -> bool {
        // `::` and `::1` are addresses of their own, not 0.0.0.0 and 0.0.0.1 in disguise.
        let own = self.embedding == Embedding::Compatible && ip.to_bits() <= 1;
        !own && ip.to_bits() & mask(self.length) == self.first.to_bits()
    }
}

/// At which lengths `ip` may be a translation: those of the operator's prefixes that hold it. Inside the
/// local-use block (RFC 8215), whose layout only its operator knows, every length that fits when no
/// configured prefix says which.
fn nat64_lengths(ip: Ipv6Addr, nat64: &[Ipv6Net]) -> impl Iterator<Item = u8> {
    let configured = nat64
        .iter()
        .filter(move |prefix| prefix.contains(&ip))
        .map(Ipv6Net::prefix_len);
    let known = nat64.iter().any(|prefix| prefix.contains(&ip));
    let guessed: &[u8] = if is_local_use(ip) && !known {
        &[48, 56, 64, 96]
    } else {
        &[]
    };
    configured.chain(guessed.iter().copied())
}

/// 64:ff9b:1::/48.
fn is_local_use(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0x64, 0xff9b, 1, ..])
}

/// RFC 6052, 2.3: the 32 bits after the prefix, skipping the reserved octet at bits 64 to 71.
fn nat64_extract(ip: Ipv6Addr, length: u8) -> Ipv4Addr {
    if length == 96 {
        return last_32(ip);
    }
    let without_reserved = (ip.to_bits() >> 64 << 56) | (ip.to_bits() & (u128::MAX >> 72));
    let skipped = 88_u32.saturating_sub(length.into());
    Ipv4Addr::from_bits((without_reserved >> skipped) as u32)
}

/// RFC 5214, 6.1: an interface identifier `[02]00:5efe:a.b.c.d`, under any prefix.
fn isatap(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    matches!(ip.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]).then(|| last_32(ip))
}

fn last_32(ip: Ipv6Addr) -> Ipv4Addr {
    from_bit(ip, 96)
}

/// The 32 bits from bit `start`, counted from the left; at most 96.
fn from_bit(ip: Ipv6Addr, start: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((ip.to_bits() >> 96_u32.saturating_sub(start)) as u32)
}
