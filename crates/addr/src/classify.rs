//! `classify`: the one definition of "private" in this project.
//!
//! The registries give an address a class; the IPv4 addresses inside it may change that class. The
//! first line that applies decides (see [`Classifier::classify`]):
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
//! The third line keeps the classes that the host never dials: no prefix that an operator configures and no
//! interface identifier turns them into something milder.

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
