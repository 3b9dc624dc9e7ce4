//! `PrefixMap`: values by network, the most specific network wins.

use alloc::vec::Vec;
use core::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::bits;

/// A map from networks to values. The most specific network that holds an address wins.
///
/// Built once, then only read. A look-up is a binary search and a walk over the networks that enclose the
/// one it finds: O(log n + nesting), at most 129 steps of the latter, whatever the number of networks. IPv4
/// networks hold IPv4 addresses only; `::ffff:0:0/96` is a network like any other.
///
/// ```
/// use ipnet::IpNet;
/// use pinfold_addr::PrefixMap;
///
/// let map = PrefixMap::new([("10.0.0.0/8".parse()?, "wide"), ("10.1.0.0/16".parse()?, "narrow")])
///     .expect("no network twice");
/// let (network, value) = map.get([10, 1, 2, 3].into()).expect("inside both");
/// assert_eq!((network.to_string().as_str(), *value), ("10.1.0.0/16", "narrow"));
/// assert_eq!(map.get([11, 0, 0, 1].into()), None);
/// # Ok::<(), ipnet::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PrefixMap<T> {
    v4: Vec<Entry<T>>,
    v6: Vec<Entry<T>>,
}

/// The same network twice: which value is meant?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DuplicatePrefix {
    /// The network, host bits cleared.
    pub prefix: IpNet,
    /// Position of its first entry among those given.
    pub first: usize,
    /// Position of its second entry.
    pub second: usize,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    first: u128,
    length: u8,
    /// The narrowest entry that encloses this one.
    parent: Option<usize>,
    value: T,
}

impl<T> PrefixMap<T> {
    /// Builds the map. Host bits are ignored: `10.1.2.3/8` is `10.0.0.0/8`.
    ///
    /// # Errors
    ///
    /// [`DuplicatePrefix`], when a network is given twice.
    pub fn new(entries: impl IntoIterator<Item = (IpNet, T)>) -> Result<Self, DuplicatePrefix> {
        let (v4, v6) = entries
            .into_iter()
            .enumerate()
            .partition::<Vec<_>, _>(|(_, (network, _))| matches!(network, IpNet::V4(_)));
        Ok(Self {
            v4: build(v4)?,
            v6: build(v6)?,
        })
    }

    /// The most specific network that holds `address`, with its value.
    pub fn get(&self, address: IpAddr) -> Option<(IpNet, &T)> {
        self.matches(address).next()
    }

    /// Every network that holds `address`, the most specific first.
    pub fn matches(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &T)> {
        let entries = if address.is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        let key = bits::key(address);
        // Networks nest or are disjoint, so those that hold `key` enclose the last that begins at or
        // before it, or are that one.
        let nearest = entries
            .partition_point(|entry| entry.first <= key)
            .checked_sub(1);
        let enclosing = |at: &usize| entries.get(*at).and_then(|entry| entry.parent);
        core::iter::successors(nearest, enclosing)
            .filter_map(|at| entries.get(at))
            .filter(move |entry| entry.holds(key))
            .map(move |entry| {
                (
                    bits::net(entry.first, entry.length, address.is_ipv4()),
                    &entry.value,
                )
            })
    }

    /// How many networks the map has.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether the map has no network.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for PrefixMap<T> {
    /// A map without networks.
    fn default() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }
}

impl<T> Entry<T> {
    fn holds(&self, key: u128) -> bool {
        key & bits::mask(self.length) == self.first
    }
}

/// An entry as given: its position, network and value.
type Given<T> = (usize, (IpNet, T));

/// Entries of one family, sorted by first address, the wider first, each with its parent.
fn build<T>(mut given: Vec<Given<T>>) -> Result<Vec<Entry<T>>, DuplicatePrefix> {
    given.sort_by_key(|(position, (network, _))| (sort_key(network), *position));
    refuse_duplicates(&given)?;
    let mut entries: Vec<Entry<T>> = Vec::with_capacity(given.len());
    let mut last = None;
    for (_, (network, value)) in given {
        let (first, length) = sort_key(&network);
        let parent = enclosing(&entries, last, first);
        last = Some(entries.len());
        entries.push(Entry {
            first,
            length,
            parent,
            value,
        });
    }
    Ok(entries)
}

fn sort_key(network: &IpNet) -> (u128, u8) {
    (bits::key(network.network()), network.prefix_len())
}

fn refuse_duplicates<T>(given: &[Given<T>]) -> Result<(), DuplicatePrefix> {
    for pair in given.windows(2) {
        if let [(first, (one, _)), (second, (other, _))] = pair
            && sort_key(one) == sort_key(other)
        {
            return Err(DuplicatePrefix {
                prefix: one.trunc(),
                first: *first,
                second: *second,
            });
        }
    }
    Ok(())
}

/// The narrowest entry that holds `first`, from the entry before it outwards.
fn enclosing<T>(entries: &[Entry<T>], before: Option<usize>, first: u128) -> Option<usize> {
    core::iter::successors(before, |at| entries.get(*at).and_then(|entry| entry.parent))
        .find(|at| entries.get(*at).is_some_and(|entry| entry.holds(first)))
}

impl fmt::Display for DuplicatePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is given twice, as entries {} and {}",
            self.prefix, self.first, self.second
        )
    }
}

impl core::error::Error for DuplicatePrefix {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn map(networks: &[&str]) -> Result<PrefixMap<usize>, DuplicatePrefix> {
        let parse = |(at, network): (usize, &&str)| (network.parse().unwrap(), at);
        PrefixMap::new(networks.iter().enumerate().map(parse))
    }

    #[test]
    fn the_most_specific_network_wins() {
        let networks = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3/32",
            "::/0",
            "fd00::/8",
        ];
        let map = map(&networks).unwrap();
        let rows = [
            ("10.1.2.3", Some(4)),
            ("10.1.2.4", Some(3)),
            ("10.1.3.0", Some(2)),
            ("10.2.0.0", Some(1)),
            ("9.255.255.255", Some(0)),
            ("11.0.0.0", Some(0)),
            ("255.255.255.255", Some(0)),
            ("fd12::1", Some(6)),
            ("fe00::", Some(5)),
            ("::ffff:10.1.2.3", Some(5)),
        ];
        for (address, expected) in rows {
            let found = map.get(address.parse().unwrap());
            assert_eq!(found.map(|(_, at)| *at), expected, "{address}");
            assert_eq!(
                found.map(|(network, _)| network.to_string()).as_deref(),
                expected.map(|at| networks[at])
            );
        }
    }

    #[test]
    fn families_are_apart() {
        let map = map(&["10.0.0.0/8", "a00::/8"]).unwrap();
        assert_eq!(
            map.get("10.0.0.1".parse().unwrap()).map(|(_, at)| *at),
            Some(0)
        );
        assert_eq!(
            map.get("a00::1".parse().unwrap()).map(|(_, at)| *at),
            Some(1)
        );
        assert_eq!(map.get("b00::1".parse().unwrap()), None);
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn an_empty_map_holds_nothing() {
        let map = PrefixMap::<()>::default();
        assert!(map.is_empty());
        assert_eq!(map.get("0.0.0.0".parse().unwrap()), None);
        assert_eq!(map.get("::".parse().unwrap()), None);
    }

    #[test]
    fn matches_go_from_narrow_to_wide() {
        let map = map(&["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0"]).unwrap();
        let found = map.matches("10.1.0.1".parse().unwrap()).map(|(_, at)| *at);
        assert_eq!(found.collect::<Vec<_>>(), [1, 0, 3]);
    }

    #[test]
    fn duplicates_are_reported_where_they_are() {
        let duplicate = map(&["10.0.0.0/16", "fd00::/8", "10.0.0.1/8", "10.9.9.9/8"]).unwrap_err();
        assert_eq!(
            (
                duplicate.prefix.to_string().as_str(),
                duplicate.first,
                duplicate.second
            ),
            ("10.0.0.0/8", 2, 3)
        );
        assert!(
            map(&["10.0.0.0/8", "10.0.0.0/9"]).is_ok(),
            "another length is another network"
        );
        assert!(
            map(&["0.0.0.0/0", "::/0"]).is_ok(),
            "another family is another network"
        );
    }

    /// A chain of enclosing networks is never longer than the address has bits, and one.
    #[test]
    fn the_deepest_nesting() {
        let networks = (0..=128).map(|length| {
            (
                IpNet::new("2001:db8::1".parse().unwrap(), length).unwrap(),
                length,
            )
        });
        let map = PrefixMap::new(networks).unwrap();
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(map.get(address).map(|(_, length)| *length), Some(128));
        let lengths: Vec<u8> = map.matches(address).map(|(_, length)| *length).collect();
        assert_eq!(lengths, (0..=128).rev().collect::<Vec<_>>());
        // Its neighbour is outside the deepest network only.
        assert_eq!(
            map.get("2001:db8::".parse().unwrap())
                .map(|(_, length)| *length),
            Some(127)
        );
    }
}
