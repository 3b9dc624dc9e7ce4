//! `classify`: the one definition of "private" in this project.
//!
//! The registries give an address a class; the IPv4 addresses inside it may change that class. The
//! first line that applies decides:
//!
//! | registered as | inside it | class |
//! |---|---|---|
//! | metadata | any | metadata |
//! | any | metadata | metadata |
//! | unspecified, loopback, link-local, multicast, broadcast | any | as registered |
//! | any | by a NAT64 prefix of the operator: any | translated |
//! | public, special-global | by ISATAP: any but public | tunnelled |
//! | any | any | as registered |
//!
//! The third line keeps the classes that the host never dials: no prefix that an operator configures and
//! no interface identifier turns them into something milder.
//!
//! What this means, for one address of each kind; a test reads this table. 2001:db8:64::/96 and
//! fe80:64::/96 are NAT64 prefixes of the operator.
//!
//! | address | class | embedded |
//! |---|---|---|
//! | 93.184.216.34 | public | |
//! | 0.0.0.0 | unspecified | |
//! | 0.1.2.3 | unspecified | |
//! | 10.0.0.1 | private | |
//! | 100.64.0.1 | shared | |
//! | 100.100.100.200 | metadata | |
//! | 127.0.0.1 | loopback | |
//! | 168.63.129.16 | metadata | |
//! | 169.254.0.1 | link-local | |
//! | 169.254.169.254 | metadata | |
//! | 172.31.255.255 | private | |
//! | 172.32.0.0 | public | |
//! | 192.0.0.1 | protocol | |
//! | 192.0.0.9 | special-global | |
//! | 192.0.0.192 | metadata | |
//! | 192.0.2.1 | documentation | |
//! | 192.31.196.1 | special-global | |
//! | 192.88.99.1 | protocol | |
//! | 192.168.0.1 | private | |
//! | 198.19.255.255 | benchmarking | |
//! | 224.0.0.1 | multicast | |
//! | 240.0.0.1 | reserved | |
//! | 255.255.255.255 | broadcast | |
//! | :: | unspecified | |
//! | ::1 | loopback | |
//! | ::2 | translated | compatible 0.0.0.2 unspecified |
//! | ::ffff:93.184.216.34 | translated | mapped 93.184.216.34 public |
//! | ::ffff:127.0.0.1 | translated | mapped 127.0.0.1 loopback |
//! | ::ffff:169.254.169.254 | metadata | mapped 169.254.169.254 metadata |
//! | ::10.0.0.1 | translated | compatible 10.0.0.1 private |
//! | ::ffff:0:10.0.0.1 | translated | siit 10.0.0.1 private |
//! | 64:ff9b::10.0.0.1 | translated | nat64 10.0.0.1 private |
//! | 64:ff9b::168.63.129.16 | metadata | nat64 168.63.129.16 metadata |
//! | 64:ff9b:1:a00:0:100:: | translated | nat64 10.0.0.1 private, nat64 0.0.1.0 unspecified, nat64 0.1.0.0 unspecified, nat64 0.0.0.0 unspecified |
//! | 64:ff9b:2::1 | reserved | |
//! | 100::1 | protocol | |
//! | 1::1 | reserved | |
//! | 4000::1 | reserved | |
//! | 2001:100::1 | protocol | |
//! | 2001:1::1 | special-global | |
//! | 2001:2::1 | benchmarking | |
//! | 2001:20::1 | special-global | |
//! | 2001:db8::1 | documentation | |
//! | 2001:4860:4860::8888 | public | |
//! | 2001:0:a00:1::f5ff:fffe | tunnelled | teredo-server 10.0.0.1 private, teredo-client 10.0.0.1 private |
//! | 2002:a00:1:: | tunnelled | six-to-four 10.0.0.1 private |
//! | 2002:808:808::5efe:a00:1 | tunnelled | six-to-four 8.8.8.8 public, isatap 10.0.0.1 private |
//! | 2606:4700::5efe:a00:1 | tunnelled | isatap 10.0.0.1 private |
//! | 2606:4700::200:5efe:a00:1 | tunnelled | isatap 10.0.0.1 private |
//! | 2606:4700::5efe:808:808 | public | isatap 8.8.8.8 public |
//! | 2606:4700::5efe:a9fe:a9fe | metadata | isatap 169.254.169.254 metadata |
//! | 2001:db8:64::808:808 | translated | nat64 8.8.8.8 public |
//! | 2001:db8:64::a00:1 | translated | nat64 10.0.0.1 private |
//! | 3fff::1 | documentation | |
//! | 5f00::1 | protocol | |
//! | fc00::1 | unique-local | |
//! | fd00::5efe:a00:1 | unique-local | isatap 10.0.0.1 private |
//! | fd00:ec2::254 | metadata | |
//! | fdaa::3 | metadata | |
//! | fe80::1 | link-local | |
//! | fe80::5efe:a00:1 | link-local | isatap 10.0.0.1 private |
//! | fe80:64::a00:1 | link-local | nat64 10.0.0.1 private |
//! | fe80::a9fe:a9fe | metadata | |
//! | fec0::1 | site-local | |
//! | ff02::1 | multicast | |

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use crate::{
    Class, Embedded, Embedding,
    embedded::{self, NAT64_LENGTHS},
    registry,
};

/// An address with all that the registries say of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Classified {
    /// The address.
    pub address: IpAddr,
    /// Its class.
    pub class: Class,
    /// Every IPv4 address inside it, each form once; empty for IPv4.
    pub embedded: Vec<Embedded>,
}

/// Classifies addresses; knows the operator's NAT64 prefixes.
///
/// ```
/// use pinfold_addr::{Class, Classifier, Embedding};
///
/// let found = Classifier::default().classify("2002:7f00:1::".parse()?);
/// assert_eq!(found.class, Class::Tunnelled);
/// assert_eq!(found.embedded[0].form, Embedding::SixToFour);
/// assert_eq!(found.embedded[0].class, Class::Loopback);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    nat64: Vec<Ipv6Net>,
}

/// A prefix whose length is none of RFC 6052's 32, 40, 48, 56, 64, 96.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidNat64Prefix(pub Ipv6Net);

impl Classifier {
    /// A classifier that also unwraps the operator's NAT64 prefixes (RFC 6052).
    ///
    /// 64:ff9b::/96 is always unwrapped. Inside 64:ff9b:1::/48 (RFC 8215) every layout is reported,
    /// unless a prefix given here holds the address and so says which one is in use.
    ///
    /// # Errors
    ///
    /// The first prefix whose length RFC 6052 does not know.
    pub fn with_nat64(prefixes: Vec<Ipv6Net>) -> Result<Self, InvalidNat64Prefix> {
        match prefixes
            .iter()
            .find(|prefix| !NAT64_LENGTHS.contains(&prefix.prefix_len()))
        {
            Some(prefix) => Err(InvalidNat64Prefix(*prefix)),
            None => Ok(Self { nat64: prefixes }),
        }
    }

    /// What this address is.
    pub fn classify(&self, address: IpAddr) -> Classified {
        let registered = registry::class(address);
        match address {
            IpAddr::V4(_) => Classified {
                address,
                class: registered,
                embedded: Vec::new(),
            },
            IpAddr::V6(ip) => self.classify_v6(ip, registered),
        }
    }

    fn classify_v6(&self, ip: Ipv6Addr, registered: Class) -> Classified {
        let embedded: Vec<_> = embedded::embedded(ip, &self.nat64)
            .into_iter()
            .map(judge_inner)
            .collect();
        let is_translated = self.nat64.iter().any(|prefix| prefix.contains(&ip));
        let class = outer_class(registered, is_translated, &embedded);
        Classified {
            address: IpAddr::V6(ip),
            class,
            embedded,
        }
    }
}

fn judge_inner((form, address): (Embedding, Ipv4Addr)) -> Embedded {
    Embedded {
        form,
        address,
        class: registry::class(IpAddr::V4(address)),
    }
}

/// The table at the top of this file, line by line.
fn outer_class(registered: Class, is_translated: bool, embedded: &[Embedded]) -> Class {
    let holds_metadata = embedded.iter().any(|inner| inner.class == Class::Metadata);
    let hides_inside_isatap = embedded
        .iter()
        .any(|inner| inner.form == Embedding::Isatap && inner.class != Class::Public);
    match registered {
        Class::Metadata => Class::Metadata,
        _ if holds_metadata => Class::Metadata,
        Class::Unspecified
        | Class::Loopback
        | Class::LinkLocal
        | Class::Multicast
        | Class::Broadcast => registered,
        _ if is_translated => Class::Translated,
        Class::Public | Class::SpecialGlobal if hides_inside_isatap => Class::Tunnelled,
        _ => registered,
    }
}

impl core::fmt::Display for InvalidNat64Prefix {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "`{}` is no NAT64 prefix: its length must be 32, 40, 48, 56, 64 or 96",
            self.0
        )
    }
}

impl core::error::Error for InvalidNat64Prefix {}

#[cfg(test)]
mod tests {
    use std::{
        format,
        string::{String, ToString},
    };

    use super::*;

    /// Reads the second table of this file's documentation and asks for each line of it.
    #[test]
    fn the_documented_table_is_true() {
        let classifier = Classifier::with_nat64(std::vec![
            "2001:db8:64::/96".parse().unwrap(),
            "fe80:64::/96".parse().unwrap(),
        ])
        .unwrap();
        let (_, table) = include_str!("classify.rs")
            .split_once("| address | class")
            .unwrap();
        let lines = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with("//! |"));
        let rows: Vec<[&str; 3]> = lines.map(cells).collect();
        assert!(rows.len() > 60);
        for [address, class, embedded] in rows {
            let found = classifier.classify(address.parse().unwrap());
            assert_eq!(
                (found.class.as_str(), shown(&found)),
                (class, embedded.into()),
                "{address}"
            );
            assert_eq!(
                found.address.to_string().parse::<IpAddr>().unwrap(),
                found.address
            );
        }
    }

    fn cells(line: &str) -> [&str; 3] {
        let mut cells = line.split('|').skip(1).map(str::trim);
        core::array::from_fn(|_| cells.next().unwrap())
    }

    fn shown(found: &Classified) -> String {
        let inner = found.embedded.iter();
        let inner = inner.map(|inner| format!("{} {} {}", inner.form, inner.address, inner.class));
        inner.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn only_the_lengths_of_rfc_6052_are_taken() {
        for length in 0..=128 {
            let prefix = Ipv6Net::new("2001:db8::".parse().unwrap(), length).unwrap();
            let taken = Classifier::with_nat64(std::vec![prefix]).is_ok();
            assert_eq!(
                taken,
                [32, 40, 48, 56, 64, 96].contains(&length),
                "{length}"
            );
        }
    }

    /// RFC 6052, 2.4: the examples of the text, for 192.0.2.33.
    #[test]
    fn rfc_6052_examples() {
        let rows = [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ];
        for (prefix, address) in rows {
            let classifier = Classifier::with_nat64(std::vec![prefix.parse().unwrap()]).unwrap();
            let found = classifier.classify(address.parse().unwrap());
            assert_eq!(found.class, Class::Translated, "{prefix}");
            assert_eq!(shown(&found), "nat64 192.0.2.33 documentation", "{prefix}");
        }
    }

    /// An operator who says which layout is in use inside the local-use block gets that one alone.
    #[test]
    fn a_configured_prefix_settles_the_layout_of_the_local_use_block() {
        let prefix = "64:ff9b:1:abcd::/96".parse().unwrap();
        let classifier = Classifier::with_nat64(std::vec![prefix]).unwrap();
        let found = classifier.classify("64:ff9b:1:abcd::808:808".parse().unwrap());
        assert_eq!(shown(&found), "nat64 8.8.8.8 public");
        let elsewhere = classifier.classify("64:ff9b:1:abce::808:808".parse().unwrap());
        assert_eq!(elsewhere.embedded.len(), 4);
    }

    #[test]
    fn nested_prefixes_of_the_operator_are_all_unwrapped() {
        let prefixes = std::vec![
            "2001:db8::/32".parse().unwrap(),
            "2001:db8::/96".parse().unwrap()
        ];
        let classifier = Classifier::with_nat64(prefixes).unwrap();
        let found = classifier.classify("2001:db8::a00:1".parse().unwrap());
        assert_eq!(
            shown(&found),
            "nat64 0.0.0.0 unspecified, nat64 10.0.0.1 private"
        );
    }
}
