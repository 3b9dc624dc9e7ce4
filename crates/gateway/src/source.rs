//! Where a client comes from, as it is counted.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Who is counted as one: an IPv4 address, or a /64 of IPv6, which is what one customer gets.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        match plain(address) {
            v4 @ IpAddr::V4(_) => Self(v4),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into()),
        }
    }
}

/// A client of IPv4 at a socket of IPv6 is a client of IPv4: networks and limits mean it.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_bits() >> 32 == MAPPED => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_addresses_or_networks() {
        let table = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
            ("2001:db8:0:1::9", "2001:db8:0:1::/64"),
            ("2001:db8:0:2::9", "2001:db8:0:2::/64"),
            ("::1", "::/64"),
        ];
        for (address, expected) in table {
            let source = Source::of(address.parse().unwrap());
            assert_eq!(source.to_string(), expected, "{address}");
        }
    }
}
