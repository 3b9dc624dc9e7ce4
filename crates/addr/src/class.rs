//! The classes of addresses, and how IPv6 carries IPv4. The same cases as in `wit/types.wit`.

use core::{fmt, net::Ipv4Addr};

/// An enum that mirrors one of WIT: its cases, their kebab-case names, and all of them in order.
macro_rules! mirror {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        #[expect(clippy::exhaustive_enums, reason = "mirrors a WIT enum, which cannot grow")]
        pub enum $enum {
            $($(#[doc = $doc])+ #[cfg_attr(feature = "serde", serde(rename = $name))] $variant,)+
        }

        impl $enum {
            /// Every case, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable kebab-case name, as in the contract.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

mirror! {
    /// What an address is by the registries.
    pub enum Class {
        /// Globally reachable unicast; for IPv6 only inside 2000::/3.
        Public = "public",
        /// 0.0.0.0/8 and `::`: reach the local host on common systems.
        Unspecified = "unspecified",
        /// 127.0.0.0/8 and `::1`.
        Loopback = "loopback",
        /// RFC 1918.
        Private = "private",
        /// 100.64.0.0/10, carrier-grade NAT (RFC 6598).
        Shared = "shared",
        /// 169.254.0.0/16 and fe80::/10.
        LinkLocal = "link-local",
        /// fc00::/7 (RFC 4193).
        UniqueLocal = "unique-local",
        /// fec0::/10, deprecated (RFC 3879).
        SiteLocal = "site-local",
        /// 224.0.0.0/4 and ff00::/8.
        Multicast = "multicast",
        /// 255.255.255.255.
        Broadcast = "broadcast",
        /// Ranges for documentation.
        Documentation = "documentation",
        /// Ranges for benchmarking.
        Benchmarking = "benchmarking",
        /// IETF protocol assignments that are not globally reachable, discard and dummy prefixes.
        Protocol = "protocol",
        /// Registered special purpose, yet globally reachable: AS112, AMT, anycast services, ORCHIDv2.
        SpecialGlobal = "special-global",
        /// An IPv6 form that carries IPv4 by translation: mapped, compatible, SIIT, NAT64.
        Translated = "translated",
        /// An IPv6 form that carries IPv4 in a tunnel: 6to4, Teredo, ISATAP.
        Tunnelled = "tunnelled",
        /// Reserved, or not allocated for global unicast.
        Reserved = "reserved",
        /// A metadata or platform endpoint of a cloud provider, or an IPv6 form that carries one.
        Metadata = "metadata",
    }
}

mirror! {
    /// How an IPv6 address carries an IPv4 address.
    pub enum Embedding {
        /// `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
        Mapped = "mapped",
        /// `::a.b.c.d` (RFC 4291, 2.5.5.1, deprecated).
        Compatible = "compatible",
        /// `::ffff:0:a.b.c.d` (RFC 2765, RFC 7915).
        Siit = "siit",
        /// 64:ff9b::/96, 64:ff9b:1::/48, or a prefix of the operator (RFC 6052).
        Nat64 = "nat64",
        /// 2002::/16 (RFC 3056).
        SixToFour = "six-to-four",
        /// The server's address in 2001::/32 (RFC 4380).
        TeredoServer = "teredo-server",
        /// The client's address in 2001::/32, stored inverted (RFC 4380).
        TeredoClient = "teredo-client",
        /// An interface identifier `0000:5efe` or `0200:5efe` (RFC 5214).
        Isatap = "isatap",
    }
}

/// An IPv4 address found inside an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Embedded {
    /// The form in which it is carried.
    pub form: Embedding,
    /// The IPv4 address.
    pub address: Ipv4Addr,
    /// What that IPv4 address is.
    pub class: Class,
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    /// The contract is the source of the names: a case that only one side knows fails here.
    #[test]
    fn the_contract_has_the_same_cases() {
        let classes: String = Class::ALL
            .iter()
            .map(|class| wit_case(class.as_str()))
            .collect();
        let forms: String = Embedding::ALL
            .iter()
            .map(|form| wit_case(form.as_str()))
            .collect();
        assert_eq!(classes, cases_in_wit("address-class"));
        assert_eq!(forms, cases_in_wit("embedding"));
    }

    fn wit_case(name: &str) -> String {
        std::format!("{name},")
    }

    fn cases_in_wit(name: &str) -> String {
        let wit = include_str!("../../../wit/types.wit");
        let (_, rest) = wit.split_once(&std::format!("enum {name} {{")).unwrap();
        let (body, _) = rest.split_once('}').unwrap();
        body.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("///"))
            .collect()
    }
}
