//! The classes of addresses, and how IPv6 carries IPv4. The same cases as in `wit/types.wit`.

use core::net::Ipv4Addr;

/// What an address is by the registries.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
#[expect(
    clippy::exhaustive_enums,
    reason = "mirrors a WIT enum, which cannot grow"
)]
pub enum Class {
    /// Globally reachable unicast.
    Public,
    /// 0.0.0.0/8 and `::`.
    Unspecified,
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// 100.64.0.0/10.
    Shared,
    /// 169.254.0.0/16 and fe80::/10.
    LinkLocal,
    /// fc00::/7.
    UniqueLocal,
    /// fec0::/10.
    SiteLocal,
    /// 224.0.0.0/4 and ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// Documentation.
    Documentation,
    /// Benchmarking.
    Benchmarking,
    /// IETF protocol assignments, not globally reachable.
    Protocol,
    /// Special purpose, yet globally reachable.
    SpecialGlobal,
    /// IPv4 carried by translation.
    Translated,
    /// IPv4 carried in a tunnel.
    Tunnelled,
    /// Reserved or not allocated.
    Reserved,
    /// A cloud metadata or platform endpoint.
    Metadata,
}

/// How an IPv6 address carries an IPv4 address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Embedding {
    /// `::ffff:a.b.c.d`.
    Mapped,
    /// `::a.b.c.d`.
    Compatible,
    /// `::ffff:0:a.b.c.d`.
    Siit,
    /// RFC 6052.
    Nat64,
    /// 2002::/16.
    SixToFour,
    /// Teredo server.
    TeredoServer,
    /// Teredo client.
    TeredoClient,
    /// ISATAP interface identifier.
    Isatap,
}

/// An IPv4 address found inside an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Embedded {
    /// The form in which it is carried.
    pub form: Embedding,
    /// The IPv4 address.
    pub address: Ipv4Addr,
    /// What that IPv4 address is.
    pub class: Class,
}
