//! Look-up in the generated tables of registered prefixes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{
    Class,
    bits::{self, mask},
    tables,
};

/// The row of a registry that decides the class of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Registration {
    /// The registered prefix.
    pub prefix: IpNet,
    /// The class of the addresses in it, unless a more specific row holds.
    pub class: Class,
    /// What the prefix is for.
    pub name: &'static str,
    /// The document or the provider that says so.
    pub source: &'static str,
}

/// The row that decides the class of `address`: that of a metadata endpoint, else the most specific
/// registration. `None` for IPv4 that is in no registry, which is public unicast.
///
/// ```
/// use pinfold_addr::{Class, registration};
///
/// let row = registration([100, 64, 0, 1].into()).expect("registered");
/// assert_eq!((row.class, row.source), (Class::Shared, "RFC 6598"));
/// assert_eq!(registration([93, 184, 216, 34].into()), None);
/// ```
pub fn registration(address: IpAddr) -> Option<Registration> {
    find(address).map(|row| row.registered(address.is_ipv4()))
}

/// Every row of the registries: metadata endpoints, then prefixes, IPv4 before IPv6. Rows nest: of those that hold an
/// address, [`registration`] knows which one decides.
///
/// ```
/// use pinfold_addr::{Class, registrations};
///
/// let mut rows = registrations();
/// let mapped = rows.find(|row| row.prefix.to_string() == "::ffff:0.0.0.0/96");
/// assert_eq!(mapped.expect("registered").class, Class::Translated);
/// ```
pub fn registrations() -> impl Iterator<Item = Registration> + Clone {
    let tables = [
        (tables::METADATA_IPV4, true),
        (tables::IPV4, true),
        (tables::METADATA_IPV6, false),
        (tables::IPV6, false),
    ];
    tables
        .into_iter()
        .flat_map(|(rows, is_ipv4)| rows.iter().map(move |row| row.registered(is_ipv4)))
}

/// What the registries say of `address`, not looking inside it.
pub(crate) fn class(address: IpAddr) -> Class {
    match (find(address), address) {
        (Some(row), _) => row.class,
        (None, IpAddr::V4(_)) => Class::Public,
        // The table covers the whole of IPv6; were a row missing, the address would be refused.
        (None, IpAddr::V6(_)) => Class::Reserved,
    }
}

fn find(address: IpAddr) -> Option<&'static Row> {
    let key = bits::key(address);
    let (metadata, registered) = match address {
        IpAddr::V4(_) => (tables::METADATA_IPV4, tables::IPV4),
        IpAddr::V6(_) => (tables::METADATA_IPV6, tables::IPV6),
    };
    longest_match(metadata, key).or_else(|| longest_match(registered, key))
}

/// One registered prefix. The tables are sorted by first address, then by length.
#[derive(Debug)]
pub(crate) struct Row {
    first: u128,
    length: u8,
    class: Class,
    name: &'static str,
    source: &'static str,
}

impl Row {
    pub(crate) const fn v4(
        first: [u8; 4],
        length: u8,
        class: Class,
        name: &'static str,
        source: &'static str,
    ) -> Self {
        Self {
            first: bits::v4(Ipv4Addr::from_octets(first)),
            length,
            class,
            name,
            source,
        }
    }

    pub(crate) const fn v6(
        first: [u16; 8],
        length: u8,
        class: Class,
        name: &'static str,
        source: &'static str,
    ) -> Self {
        Self {
            first: Ipv6Addr::from_segments(first).to_bits(),
            length,
            class,
            name,
            source,
        }
    }

    fn holds(&self, key: u128) -> bool {
        key & mask(self.length) == self.first
    }

    fn registered(&self, is_ipv4: bool) -> Registration {
        Registration {
            prefix: bits::net(self.first, self.length, is_ipv4),
            class: self.class,
            name: self.name,
            source: self.source,
        }
    }
}

/// Prefixes nest or are disjoint: of those that hold `key`, the one that begins last is the most
/// specific.
fn longest_match(rows: &'static [Row], key: u128) -> Option<&'static Row> {
    let candidates = rows.partition_point(|row| row.first <= key);
    rows.iter()
        .take(candidates)
        .rev()
        .find(|row| row.holds(key))
}
