//! Addresses as left-aligned 128-bit keys, so that one code serves both families.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The bits of an address, IPv4 in the upper 32. Keys of the two families must not be mixed.
pub(crate) const fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

pub(crate) const fn v4(ip: Ipv4Addr) -> u128 {
    // Widening; `From` is not const.
    (ip.to_bits() as u128) << 96
}

/// The mask of the first `length` bits; more than 128 count as 128.
pub(crate) const fn mask(length: u8) -> u128 {
    match u128::MAX.checked_shr(length as u32) {
        Some(host) => !host,
        None => u128::MAX,
    }
}

/// The prefix of `length` bits that `key` begins with. `length` fits the family by construction; were it
/// longer, the prefix would be the address itself.
pub(crate) fn net(key: u128, length: u8, is_ipv4: bool) -> IpNet {
    if is_ipv4 {
        let ip = Ipv4Addr::from_bits((key >> 96) as u32);
        IpNet::V4(Ipv4Net::new(ip, length).unwrap_or_else(|_| ip.into()))
    } else {
        let ip = Ipv6Addr::from_bits(key);
        IpNet::V6(Ipv6Net::new(ip, length).unwrap_or_else(|_| ip.into()))
    }
}
