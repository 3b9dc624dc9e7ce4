//! Connections of each client address. An entry lives as long as a connection: the table is never larger than the
//! number of open connections.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Whose connections are counted together: one IPv4 address, or one /64 of IPv6, which is what one customer gets.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Source(IpAddr);

/// How many connections each source has.
#[derive(Debug, Default)]
pub(super) struct Sources {
    open: HashMap<Source, usize>,
}

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self(address),
            // A socket for both families shows IPv4 clients so; they are not all one.
            IpAddr::V6(v6) if v6.to_bits() >> 32 == MAPPED => {
                let [.., a, b, c, d] = v6.octets();
                Self(Ipv4Addr::new(a, b, c, d).into())
            }
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into()),
        }
    }
}

impl Sources {
    /// Counts one more connection, unless there are as many as there may be.
    pub(super) fn enter(&mut self, source: Source, bound: usize) -> bool {
        match self.open.entry(source) {
            Entry::Occupied(entry) if *entry.get() >= bound => return false,
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(_) if bound == 0 => return false,
            Entry::Vacant(entry) => {
                entry.insert(1);
            }
        }
        true
    }

    pub(super) fn leave(&mut self, source: Source) {
        let Entry::Occupied(mut entry) = self.open.entry(source) else {
            return;
        };
        if *entry.get() > 1 {
            *entry.get_mut() -= 1;
            return;
        }
        entry.remove();
        self.shrink();
    }

    /// Gives memory back after a flood.
    fn shrink(&mut self) {
        if self.open.capacity() > SPARE && self.open.len() < self.open.capacity() / 8 {
            self.open.shrink_to(self.open.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.open.capacity()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Source, usize)> {
        self.open.iter().map(|(source, open)| (*source, *open))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first 96 bits of an IPv4 address that is mapped into IPv6 (RFC 4291, 2.5.5.2).
const MAPPED: u128 = 0xffff;
/// The first 64 bits.
const NETWORK: u128 = (u64::MAX as u128) << 64;
/// Places that a table may keep empty.
pub(super) const SPARE: usize = 1_024;
