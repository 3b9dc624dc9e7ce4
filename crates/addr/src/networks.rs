//! Networks of a class, for rules of other programs: the tables, turned round.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{Class, registrations, registry};

/// The fewest networks that hold every address whose registered class is wanted, and no other address; IPv4 before IPv6,
/// each in order.
///
/// A registration alone decides, as for [`registration`](crate::registration): what an IPv6 address carries is not looked
/// at. Forms that a prefix announces (mapped, 6to4, NAT64, Teredo) are classes of their own; an interface identifier of
/// the ISATAP form can be in any network, so no list of networks holds it. NAT64 prefixes of an operator are in no
/// registry.
///
/// ```
/// use pinfold_addr::{Class, networks};
///
/// let link_local = networks(|class| class == Class::LinkLocal);
/// // 169.254.0.0/16 holds metadata endpoints, which are a class of their own.
/// assert!(link_local.contains(&"169.254.128.0/19".parse()?));
/// assert!(!link_local.contains(&"169.254.0.0/16".parse()?));
///
/// let not_public = networks(|class| class != Class::Public);
/// for network in ["10.0.0.0/8", "169.254.0.0/16", "::/3", "2002::/16"] {
///     assert!(not_public.contains(&network.parse()?), "{network}");
/// }
/// # Ok::<(), ipnet::AddrParseError>(())
/// ```
pub fn networks(wanted: impl Fn(Class) -> bool) -> Vec<IpNet> {
    let rows: Vec<_> = registrations().map(|row| row.prefix).collect();
    let mut found = Vec::new();
    for all in families() {
        collect(all, &rows, &wanted, &mut found);
    }
    found
}

fn families() -> [IpNet; 2] {
    [
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
    ]
}

/// Adds what is wanted of `network`: all of it where no row divides it, else what is wanted of its halves. Two halves that
/// are wanted whole are one network. Ends at single addresses, which nothing divides.
fn collect(
    network: IpNet,
    rows: &[IpNet],
    wanted: &impl Fn(Class) -> bool,
    found: &mut Vec<IpNet>,
) {
    let divides = |row: &&IpNet| **row != network && network.contains(*row);
    let inside: Vec<_> = rows.iter().filter(divides).copied().collect();
    if inside.is_empty() {
        if wanted(registry::class(network.network())) {
            found.push(network);
        }
        return;
    }
    let before = found.len();
    let halves: Vec<_> = halves(network).collect();
    for half in &halves {
        collect(*half, &inside, wanted, found);
    }
    if found.get(before..) == Some(halves.as_slice()) {
        found.truncate(before);
        found.push(network);
    }
}

/// None for a single address.
fn halves(network: IpNet) -> impl Iterator<Item = IpNet> {
    let length = network.prefix_len().saturating_add(1);
    network.subnets(length).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::IpAddr};

    use super::*;

    type Wanted = fn(Class) -> bool;

    /// The first and last address of each row, and their neighbours.
    fn edges() -> BTreeSet<IpAddr> {
        let rows = registrations().map(|row| row.prefix);
        rows.flat_map(|prefix| {
            let (first, last) = (prefix.network(), prefix.broadcast());
            [before(first), first, last, after(last)]
        })
        .collect()
    }

    fn before(address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
        }
    }

    fn after(address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_add(1)).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().saturating_add(1)).into(),
        }
    }

    #[test]
    fn they_hold_what_is_wanted_and_nothing_else() {
        let wanted: [(&str, Wanted); 4] = [
            ("not public", |class| class != Class::Public),
            ("public", |class| class == Class::Public),
            ("metadata", |class| class == Class::Metadata),
            ("wrappers", |class| {
                matches!(class, Class::Translated | Class::Tunnelled)
            }),
        ];
        for (row, wanted) in wanted {
            let networks = networks(wanted);
            for address in edges() {
                let holders = networks.iter().filter(|network| network.contains(&address));
                let expected = usize::from(wanted(registry::class(address)));
                assert_eq!(holders.count(), expected, "{row}: {address}");
            }
            assert!(networks.is_sorted(), "{row}");
            let merged = IpNet::aggregate(&networks);
            assert_eq!(merged.len(), networks.len(), "{row}: not the fewest");
        }
    }

    #[test]
    fn everything_is_two_networks() {
        assert_eq!(networks(|_| true), families());
        assert_eq!(networks(|_| false), []);
    }
}
