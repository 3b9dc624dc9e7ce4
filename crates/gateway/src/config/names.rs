//! Lookups, and exceptions to the native rules.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use ipnet::Ipv6Net;
use pinfold::Grant;
use pinfold_addr::{Class, Classifier, Domain};
use serde::Deserializer;

use super::{Span, text};

/// Who looks names up.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Dns {
    /// These servers; without a port it is 53. Default: none, those of the system's configuration.
    #[serde(deserialize_with = "servers")]
    #[schemars(with = "Vec<String>")]
    pub servers: Vec<SocketAddr>,
    /// Fixed answers; these names are not looked up. They are judged like any other. Default: none.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub fixed: BTreeMap<Domain, Vec<IpAddr>>,
    /// Time for one lookup. Default: 5 s.
    pub timeout: Span,
}

/// The operator's exceptions to the native rules that no policy can widen.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Floor {
    /// Networks, with a port or without, that the policy may allow although the floor would refuse them:
    /// `127.0.0.2/32:8080`. Metadata endpoints cannot be granted. Default: none.
    #[serde(deserialize_with = "grants", serialize_with = "text::listed")]
    #[schemars(with = "Vec<String>")]
    pub grants: Vec<Grant>,
    /// NAT64 prefixes of this network (RFC 6052), beside the well-known ones. Default: none.
    #[serde(deserialize_with = "prefixes")]
    #[schemars(with = "Vec<String>")]
    pub nat64: Vec<Ipv6Net>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            fixed: BTreeMap::new(),
            timeout: Span::seconds(5),
        }
    }
}

/// A server of names: `ADDR:PORT`, or an address alone for port 53.
///
/// # Errors
///
/// What to write instead.
pub fn dns_server(text: &str) -> Result<SocketAddr, String> {
    const DNS_PORT: u16 = 53;
    is_unambiguous(text)?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let alone = |_| {
        let address = bare.parse();
        address.map(|address| SocketAddr::new(address, DNS_PORT))
    };
    let server = text.parse().or_else(alone);
    server.map_err(|_| "write an address and a port, such as `192.0.2.53:53`".into())
}

/// An exception to the floor: `PREFIX[:PORT]`.
///
/// # Errors
///
/// What is wrong with it.
pub fn grant(text: &str) -> Result<Grant, String> {
    is_unambiguous(text)?;
    text.parse::<Grant>().map_err(|error| error.to_string())
}

/// A NAT64 prefix of one of the lengths of RFC 6052, where an operator may have one.
///
/// # Errors
///
/// What is wrong with it.
pub fn nat64(text: &str) -> Result<Ipv6Net, String> {
    let prefix = text
        .parse::<Ipv6Net>()
        .ok()
        .filter(|prefix| Classifier::with_nat64(vec![*prefix]).is_ok())
        .ok_or("write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as `64:ff9b::/96`")?;
    if prefix.addr() != prefix.network() {
        return Err("the address has bits beyond the length of the prefix".into());
    }
    if !may_translate(prefix.network()) {
        return Err("no translator may use this prefix (RFC 6052, section 3)".into());
    }
    Ok(prefix)
}

fn servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    text::list(
        deserializer,
        "an address such as `\"192.0.2.53:53\"`",
        dns_server,
    )
}

fn grants<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Grant>, D::Error> {
    text::list(
        deserializer,
        "a network such as `\"127.0.0.2/32:8080\"`",
        grant,
    )
}

fn prefixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ipv6Net>, D::Error> {
    text::list(deserializer, "a prefix such as `\"64:ff9b::/96\"`", nat64)
}

/// Refuses `::1:53`, which is an address in one reading and an address with a port in another.
fn is_unambiguous(text: &str) -> Result<(), String> {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    match text.rsplit_once(':') {
        Some((address, port))
            if is_address(text) && is_address(address) && port.parse::<u16>().is_ok() =>
        {
            Err(format!(
                "write `[{address}]:{port}` for a port, `[{text}]` for an address alone"
            ))
        }
        _ => Ok(()),
    }
}

/// An operator translates below 64:ff9b::/32 or in a prefix of its own: not in other forms of IPv4 in
/// IPv6 (`::/96`, mapped, 6to4, Teredo), whose addresses would then be read in two ways.
fn may_translate(first: Ipv6Addr) -> bool {
    const WELL_KNOWN: [u16; 2] = [0x64, 0xff9b];
    let is_own = matches!(first.segments()[0], 0x2000..=0x3fff | 0xfc00..=0xfdff);
    let class = Classifier::default().classify(first.into()).class;
    first.segments().starts_with(&WELL_KNOWN) || (is_own && class != Class::Tunnelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_server_has_port_53_unless_it_says_otherwise() {
        for (text, server) in [
            ("192.0.2.53", Some("192.0.2.53:53")),
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("2001:db8::53", Some("[2001:db8::53]:53")),
            ("[2001:db8::53]:5353", Some("[2001:db8::53]:5353")),
            ("[2001:db8::53]", Some("[2001:db8::53]:53")),
            ("::1", Some("[::1]:53")),
            ("dns.example", None),
            ("::1:53", None),
            ("2001:db8::53:5353", None),
            ("[::1", None),
            ("", None),
        ] {
            let parsed = dns_server(text).ok().map(|server| server.to_string());
            assert_eq!(parsed.as_deref(), server, "{text}");
        }
    }

    #[test]
    fn a_grant_of_an_address_and_a_port_has_brackets() {
        for (text, granted) in [
            ("127.0.0.2:80", Some("127.0.0.2:80")),
            ("[fd00::1]:8080", Some("[fd00::1]:8080")),
            ("[fd00::1:8080]", Some("fd00::1:8080")),
            ("fd00::1", Some("fd00::1")),
            ("fd00::1:ab", Some("fd00::1:ab")),
            ("fd00:1:2:3:4:5:6:7", Some("fd00:1:2:3:4:5:6:7")),
            ("fd00::/8", Some("fd00::/8")),
            ("fd00::1:8080", None),
            ("::1:80", None),
        ] {
            let parsed = grant(text).ok().map(|grant| grant.to_string());
            assert_eq!(parsed.as_deref(), granted, "{text}");
        }
    }

    #[test]
    fn a_nat64_prefix_is_one_that_a_translator_may_use() {
        for (text, good) in [
            ("64:ff9b::/96", true),
            ("64:ff9b:1::/48", true),
            ("2001:db8:122::/48", true),
            ("fd00:64::/96", true),
            ("64:ff9b::/95", false),
            ("64:ff9b::1/96", false),
            ("2001:db8:122:344::/48", false),
            ("::/96", false),
            ("::ffff:0:0/96", false),
            ("::ffff:0:0:0/96", false),
            ("2002::/32", false),
            ("2001::/32", false),
            ("fe80::/64", false),
            ("ff00::/96", false),
            ("192.0.2.0/24", false),
        ] {
            assert_eq!(nat64(text).is_ok(), good, "{text}");
        }
    }
}
