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
